/** The part of happy-dom that vitest's types need: see `paths` in tsconfig.json. */
export class Window {
  constructor(options?: object);
  AbortController: typeof AbortController;
}
