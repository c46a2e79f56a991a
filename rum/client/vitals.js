// The five web vitals, as the web-vitals library defines them
// (https://github.com/GoogleChrome/web-vitals): milliseconds, CLS without unit.
// What the browser cannot measure is left out; absent is never 0.
import { tenth } from './nav.js'

// vitals starts to watch one page view, which began at `since` (0, or the time of
// its return from the back/forward cache), and returns a function that ends it.
export function vitals (since) {
  const out = {}
  const observers = []
  const start = since || performance.getEntriesByType('navigation')[0]?.activationStart || 0
  let hidden = firstHidden(since)
  let inputAt = Infinity

  // Paints after the first time in the background were not seen when they happened.
  const hide = ({ timeStamp }) => { if (document.visibilityState === 'hidden') hidden = Math.min(hidden, timeStamp) }
  addEventListener('visibilitychange', hide, true)
  for (const type of ['keydown', 'click']) {
    addEventListener(type, event => { inputAt = Math.min(inputAt, event.timeStamp) }, { capture: true, once: true })
  }

  function observe (type, each, options) {
    if (!PerformanceObserver.supportedEntryTypes.includes(type)) return
    const take = entries => entries.filter(e => e.startTime >= since).forEach(each)
    const observer = new PerformanceObserver(list => take(list.getEntries()))
    observer.observe({ type, buffered: true, ...options })
    observers.push([observer, take])
  }

  const painted = (name, at) => {
    if (at < hidden && at >= start) out[name] = tenth(at - start)
  }
  if (since) {
    // No paint entries come for a restored page: the second frame has been painted.
    requestAnimationFrame(() => requestAnimationFrame(at => { painted('FCP', at); painted('LCP', at) }))
  } else {
    observe('paint', e => { if (e.name === 'first-contentful-paint') painted('FCP', e.startTime) })
    observe('largest-contentful-paint', e => { if (e.startTime < inputAt) painted('LCP', e.startTime) })
    const { responseStart } = performance.getEntriesByType('navigation')[0] || {}
    if (responseStart > 0 && responseStart < performance.now()) out.TTFB = tenth(Math.max(responseStart - start, 0))
  }

  // CLS: the worst window of shifts less than 1 s apart and 5 s long at the most.
  let sum = 0
  let first = 0
  let last = 0
  if (PerformanceObserver.supportedEntryTypes.includes('layout-shift')) out.CLS = 0
  observe('layout-shift', e => {
    if (e.hadRecentInput) return
    if (e.startTime - last >= 1000 || e.startTime - first >= 5000) {
      sum = 0
      first = e.startTime
    }
    last = e.startTime
    sum += e.value
    out.CLS = Math.max(out.CLS, Math.round(sum * 1e4) / 1e4)
  })

  // INP: the longest interaction, leaving out one for every fifty.
  const longest = new Map()
  const interaction = e => {
    if (!e.interactionId) return
    longest.set(e.interactionId, Math.max(longest.get(e.interactionId) || 0, e.duration))
    if (longest.size > 10) {
      longest.delete([...longest].reduce((a, b) => (b[1] < a[1] ? b : a))[0])
    }
  }
  const before = performance.interactionCount || 0
  observe('event', interaction, { durationThreshold: 40 })
  observe('first-input', interaction)

  return () => {
    removeEventListener('visibilitychange', hide, true)
    for (const [observer, take] of observers) {
      take(observer.takeRecords())
      observer.disconnect()
    }
    const sorted = [...longest.values()].sort((a, b) => b - a)
    const count = (performance.interactionCount || 0) - (since ? before : 0)
    if (sorted.length) out.INP = sorted[Math.min(sorted.length - 1, Math.floor(count / 50))]
    return out
  }
}

// firstHidden is when this view was first in the background, Infinity if never.
function firstHidden (since) {
  if (document.visibilityState === 'hidden' && !document.prerendering) return since
  const entries = performance.getEntriesByType('visibility-state')
  return Math.min(Infinity, ...entries.filter(e => e.name === 'hidden' && e.startTime > since).map(e => e.startTime))
}
