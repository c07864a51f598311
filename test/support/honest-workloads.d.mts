/** By name: each lasts `forMs`. */
export function honestWorkloads(forMs: number): Record<string, () => Promise<void>>;
