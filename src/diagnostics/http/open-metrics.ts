/** Whether metrics are in the format OpenMetrics, which requires `# EOF` at the end. Otherwise they are in Prometheus' text format. */
export const isOpenMetrics = (metrics: string): boolean => /(^|\n)# EOF\s*$/.test(metrics.slice(-16));
