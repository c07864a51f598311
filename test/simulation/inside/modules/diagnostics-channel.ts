/** There are no subscribers. */
export const channel = (name: string): object => ({ name, hasSubscribers: false, publish: () => undefined });
