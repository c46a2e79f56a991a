// The PerformanceNavigationTiming entry by the names of the specification,
// milliseconds rounded to a tenth. https://www.w3.org/TR/navigation-timing-2/
// An attribute that is 0 did not happen (or is kept from us) and is left out.
const time = /(Start|End|Interactive|Complete)$/

export const navigation = () => performance.getEntriesByType('navigation')[0]

export const tenth = value => Math.round(value * 10) / 10

// nav is the part of a view that its fetch was. A page that comes back from the
// back/forward cache was not fetched again, so that its entry is still that of the first
// view; nor was one that a soft navigation made.
export const nav = ({ type }) => () => {
  const entry = navigation()
  if (type || !entry) return { nav: type && { type } }
  const out = { type: entry.activationStart > 0 ? 'prerender' : entry.type, now: tenth(performance.now()) }
  for (const name in entry) if (time.test(name) && entry[name]) out[name] = tenth(entry[name])
  // The trace that the server's log lines, exemplars and errors of this response share.
  out.trace = entry.serverTiming?.find(({ name }) => name === 'trace')?.description
  return { nav: out }
}

// server is the part of a view that its response's Server-Timing header was.
export const server = ({ type }) => () => ({
  serverTiming: type ? undefined : navigation()?.serverTiming?.filter(({ name, description }) => name !== 'trace' && description.length <= 64).slice(0, 16)
})
