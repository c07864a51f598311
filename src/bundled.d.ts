/** The modules that `scripts/bundle-sources.mjs` writes, for compilers and editors that look before it has run. */
declare module '*/worker-source.ts' {
  export const workerSource: string;
}

declare module '*/helper-source.ts' {
  export const helperSource: string;
}
