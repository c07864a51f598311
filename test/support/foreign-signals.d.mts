/** As tests see it: the types of happy-dom do not compile with ours. */
export const foreignControllers: readonly (readonly [what: string, make: () => AbortController])[];
