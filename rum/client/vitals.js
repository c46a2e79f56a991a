// The five web vitals, as the web-vitals library defines them
// (https://github.com/GoogleChrome/web-vitals): milliseconds, CLS without unit.
// What the browser cannot measure is left out; absent is never 0. Unlike the
// library, a page restored from the back/forward cache has no TTFB instead of
// one of 0: nothing was asked of the server.
import { tenth } from './nav.js'

const supports = type => PerformanceObserver.supportedEntryTypes.includes(type)

// vitals starts to watch one page view, which began at `since` (0, or the time of
// its return from the back/forward cache), and returns a function that ends it.
export function vitals (since) {
  const out = {}
  const observers = []
  const { activationStart = 0, responseStart } = performance.getEntriesByType('navigation')[0] || {}
  const start = since || activationStart
  const ended = new AbortController()
  const listen = (type, each) => addEventListener(type, each, { capture: true, signal: ended.signal })

  function observe (type, each, options) {
    if (!supports(type)) return
    const take = entries => entries.filter(e => e.startTime >= since).forEach(each)
    const observer = new PerformanceObserver(list => take(list.getEntries()))
    observer.observe({ type, buffered: true, ...options })
    observers.push([observer, take])
  }

  // Paints after the first time in the background were not seen when they happened.
  let hidden = since ? Infinity : firstHidden(start)
  listen('visibilitychange', e => { if (document.visibilityState === 'hidden') hidden = Math.min(hidden, e.timeStamp) })

  // A page may be painted before its prerendering ends: it was there at once.
  const painted = (name, at) => { if (at < hidden) out[name] = tenth(Math.max(at - start, 0)) }
  if (since) {
    // Browsers may say that the page is visible only after they said that it is back.
    setTimeout(() => { if (document.visibilityState === 'hidden') hidden = since })
    // No paint entries come for a restored page: the second frame has been painted.
    requestAnimationFrame(() => requestAnimationFrame(at => { painted('FCP', at); painted('LCP', at) }))
  } else {
    if (responseStart > 0 && responseStart < performance.now()) out.TTFB = tenth(Math.max(responseStart - start, 0))
    observe('paint', e => { if (e.name === 'first-contentful-paint') painted('FCP', e.startTime) })
    // What is painted after an input may be the answer to it. A script's own click is none.
    let inputAt = Infinity
    for (const type of ['keydown', 'click']) {
      listen(type, e => { if (e.isTrusted) inputAt = Math.min(inputAt, e.timeStamp) })
    }
    observe('largest-contentful-paint', e => { if (e.startTime < inputAt) painted('LCP', e.startTime) })
  }

  // CLS: the worst window of shifts less than 1 s apart and 5 s long at the most.
  let worst = 0
  let sum = 0
  let first, last
  observe('layout-shift', e => {
    if (e.hadRecentInput) return
    if (!sum || e.startTime - last >= 1000 || e.startTime - first >= 5000) {
      sum = 0
      first = e.startTime
    }
    last = e.startTime
    sum += e.value
    worst = Math.max(worst, sum)
  })

  // INP: the longest interaction, leaving out one for every fifty. The ten longest
  // are enough for five hundred.
  const longest = new Map()
  const interaction = e => {
    if (!e.interactionId) return
    longest.set(e.interactionId, Math.max(longest.get(e.interactionId) || 0, e.duration))
    if (longest.size > 10) longest.delete([...longest].reduce((a, b) => (b[1] < a[1] ? b : a))[0])
  }
  const interactions = () => performance.interactionCount || 0
  const before = since && interactions()
  observe('event', interaction, { durationThreshold: 40 }) // two frames and a half
  observe('first-input', interaction)

  return () => {
    ended.abort()
    for (const [observer, take] of observers) {
      take(observer.takeRecords())
      observer.disconnect()
    }
    // As in CrUX: where nobody saw the page being painted, its shifts don't count.
    if (supports('layout-shift') && 'FCP' in out) out.CLS = Math.round(worst * 1e4) / 1e4
    const count = interactions() - before
    const sorted = [...longest.values()].sort((a, b) => b - a)
    if (sorted.length) out.INP = sorted[Math.min(sorted.length - 1, Math.floor(count / 50))]
    // Only a page's first input is told however short it is: these were too short to be told.
    else if (since && count) out.INP = 8
    return out
  }
}

// firstHidden is when a view that was fetched was first in the background, Infinity
// if never. Browsers without visibility-state entries don't tell what was before
// this script.
function firstHidden (start) {
  const entries = performance.getEntriesByType('visibility-state').filter(e => e.name === 'hidden' && e.startTime >= start)
  if (entries.length) return entries[0].startTime
  return document.visibilityState === 'hidden' ? 0 : Infinity
}
