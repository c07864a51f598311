/**
 * Declares the modules that `scripts/bundle-sources.mjs` writes. Compilers and editors may look for them before the script has
 * run.
 */

declare module '*/worker-source.ts' {
  export const workerSource: string;
}

declare module '*/helper-source.ts' {
  export const helperSource: string;
}

declare module '*/guardian-source.ts' {
  export const guardianSource: string;
}
