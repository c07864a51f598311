/** Whether a text is in the OpenMetrics format, which requires `# EOF` at the end. */
export const isOpenMetrics = (metrics: string): boolean => /(^|\n)# EOF\s*$/.test(metrics.slice(-16));
