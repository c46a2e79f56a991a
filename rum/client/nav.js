// The PerformanceNavigationTiming entry by the names of the specification,
// milliseconds rounded to a tenth. https://www.w3.org/TR/navigation-timing-2/
// An attribute that is 0 did not happen (or is kept from us) and is left out.
const time = /(rt|nd|ve|te)$/ // …Start, …End, domInteractive, domComplete

export const navigation = () => performance.getEntriesByType('navigation')[0]

export const tenth = value => +value.toFixed(1)

// cached says whether the page came from the browser's HTTP cache, with the headers of an
// earlier view's response: of that alone no byte was sent, but there is a body. (Chromium's
// deliveryType is "cache" too where the server was asked, and found the page unchanged.)
const cached = entry => !entry.transferSize && entry.decodedBodySize > 0

// nav is the part of a view that its fetch was. A page that comes back from the
// back/forward cache was not fetched again, so that its entry is still that of the first
// view; nor was one that a soft navigation made.
export const nav = ({ type }) => () => {
  const entry = navigation()
  if (type || !entry) return { nav: type && { type } }
  const out = { type: entry.activationStart ? 'prerender' : entry.type, now: tenth(performance.now()) }
  for (const name in entry) if (time.test(name) && entry[name]) out[name] = tenth(entry[name])
  out.cached = cached(entry)
  // The trace that the server's log lines, exemplars and errors of this response share.
  if (!out.cached) out.trace = entry.serverTiming?.find(timing => timing.name === 'trace')?.description
  return { nav: out }
}

// server is the part of a view that its response's Server-Timing header was.
export const server = ({ type }) => () => {
  const entry = navigation()
  if (type || !entry || cached(entry)) return
  return { serverTiming: entry.serverTiming?.filter(({ name, description }) => name !== 'trace' && description.length <= 64).slice(0, 16) }
}
