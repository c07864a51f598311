/** As much of happy-dom as vitest's types ask for: see `paths` in tsconfig.json. */
export class Window {
  constructor(options?: object);
  AbortController: typeof AbortController;
}
