/** TypeScript accepts an asynchronous function as a listener that returns nothing, if no linter objects. */
export const listener = (asynchronous: () => Promise<unknown>): (() => void) => asynchronous as () => void;
