// The PerformanceNavigationTiming entry by the names of the specification,
// milliseconds rounded to a tenth. https://www.w3.org/TR/navigation-timing-2/
// An attribute that is 0 did not happen (or is kept from us) and is left out.
const names = ('activationStart redirectStart redirectEnd workerStart fetchStart domainLookupStart ' +
  'domainLookupEnd connectStart secureConnectionStart connectEnd requestStart responseStart responseEnd ' +
  'domInteractive domContentLoadedEventStart domContentLoadedEventEnd domComplete loadEventStart ' +
  'loadEventEnd redirectCount').split(' ')

export function navigation () {
  const entry = performance.getEntriesByType('navigation')[0]
  if (!entry) return
  const out = { type: entry.activationStart > 0 ? 'prerender' : entry.type, now: tenth(performance.now()) }
  for (const name of names) if (entry[name]) out[name] = tenth(entry[name])
  // The trace that the server's log lines, exemplars and errors of this response share.
  out.trace = entry.serverTiming?.find(({ name }) => name === 'trace')?.description
  return out
}

export const tenth = value => Math.round(value * 10) / 10
