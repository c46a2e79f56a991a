// The five web vitals, as the web-vitals library defines them
// (https://github.com/GoogleChrome/web-vitals): milliseconds, CLS without unit.
// What the browser cannot measure is left out; absent is never 0. Unlike the
// library, a page restored from the back/forward cache, or made by a soft navigation,
// has no TTFB instead of one of 0: nothing was asked of the server.
import { navigation, tenth } from './nav.js'

const supports = type => PerformanceObserver.supportedEntryTypes.includes(type)

// vitals makes the part of a view. What they are made of is told too if it is given
// attribution, from attribution.js.
export function vitals (attribution) {
  const observers = []
  let view, changed // undefined: none is watched
  let start, hidden, inputAt, out, shifts, worst, longest, before, parts

  // An entry is of the view in whose time it began. Observers stay for the page's views
  // to come: what the next one's has come with this one's last is `rest`.
  const observe = (type, each, options) => {
    if (!supports(type)) return
    let rest = []
    const take = (entries, until = Infinity) => {
      entries = rest.concat(entries)
      rest = entries.filter(e => e.startTime > until)
      if (!view) return
      for (const e of entries) if (e.startTime >= view.since && e.startTime <= until) each(e)
      if (entries.length) changed()
    }
    const observer = new PerformanceObserver(list => take(list.getEntries()))
    observer.observe({ type, buffered: true, ...options })
    observers.push(until => take(observer.takeRecords(), until))
  }

  // A page may be painted before its prerendering ends: it was there at once.
  const painted = (name, at, entry) => {
    if (at >= hidden) return
    out[name] = tenth(Math.max(at - start, 0))
    if (entry) parts.LCP = attribution?.lcp(entry, start, out.LCP, view.soft)
  }

  // What is painted after an input may be the answer to it.
  const largest = (at, entry) => { if (at < inputAt) painted('LCP', at, entry) }

  // A soft navigation's paints come with it, and those that are larger later.
  const softly = e => {
    const entry = e?.largestContentfulPaint
    if (entry && view.soft && e.interactionId === view.soft.interactionId) largest(entry.renderTime || entry.startTime, entry)
  }

  // CLS: the worst window of shifts less than 1 s apart and 5 s long at the most.
  const shifted = e => {
    if (e.hadRecentInput) return
    const { startTime, value } = e
    if (!shifts.sum || startTime - shifts.last >= 1000 || startTime - shifts.first >= 5000) shifts = { sum: 0, first: startTime, most: 0 }
    shifts.last = startTime
    shifts.sum += value
    if (attribution && value > shifts.most) {
      shifts.most = value
      shifts.part = attribution.cls(e, start)
    }
    if (shifts.sum > worst) {
      worst = shifts.sum
      parts.CLS = shifts.part
    }
  }

  // INP: the longest interaction, leaving out one for every fifty. The ten longest
  // are enough for five hundred.
  const interacted = e => {
    const frame = attribution?.frame(e)
    const { interactionId, duration } = e
    // What led to a soft navigation is the view's before.
    if (!interactionId || interactionId === view.soft?.interactionId) return
    const known = longest.get(interactionId)
    longest.set(interactionId, attribution ? attribution.interaction(e, frame, known) : { duration: Math.max(known?.duration || 0, duration) })
    if (longest.size > 10) longest.delete([...longest].reduce((a, b) => (b[1].duration < a[1].duration ? b : a))[0])
  }
  const interactions = () => performance.interactionCount || 0

  const watch = () => {
    observe('paint', e => { if (e.name === 'first-contentful-paint') painted('FCP', e.startTime) })
    observe('largest-contentful-paint', e => largest(e.startTime, e))
    observe('interaction-contentful-paint', softly)
    observe('layout-shift', shifted)
    observe('event', interacted, { durationThreshold: 40 }) // two frames and a half
    observe('first-input', interacted)
    if (attribution) observe('long-animation-frame', e => attribution.script(e, longest))
    // A script's own click is no input.
    for (const type of ['keydown', 'click']) {
      addEventListener(type, e => { if (e.isTrusted) inputAt = Math.min(inputAt, e.timeStamp) }, true)
    }
    // Paints after the first time in the background were not seen when they happened.
    addEventListener('visibilitychange', e => { if (document.visibilityState === 'hidden') hidden = Math.min(hidden, e.timeStamp) }, true)
  }

  return (next, told) => {
    const { since, type, soft } = view = next
    const { activationStart = 0, responseStart } = navigation() || {}
    changed = told
    start = since || activationStart
    hidden = type ? Infinity : firstHidden(start)
    inputAt = Infinity
    out = {}
    parts = {}
    shifts = {}
    worst = 0
    longest = new Map()
    before = type && interactions()

    if (soft) {
      painted('FCP', soft.presentationTime || soft.paintTime)
      softly(soft.getLargestInteractionContentfulPaint?.())
    } else if (type) {
      // Browsers may say that the page is visible only after they said that it is back.
      setTimeout(() => { if (view === next && document.visibilityState === 'hidden') hidden = since })
      // No paint entries come for a restored page: the second frame has been painted.
      requestAnimationFrame(() => requestAnimationFrame(at => {
        if (view !== next) return
        painted('FCP', at)
        painted('LCP', at)
        changed()
      }))
    } else if (responseStart > 0 && responseStart < performance.now()) out.TTFB = tenth(Math.max(responseStart - start, 0))

    if (!observers.length) watch()

    return until => {
      for (const take of observers) take(until)
      const all = { ...out }
      // As in CrUX: where nobody saw the page being painted, its shifts don't count.
      if (supports('layout-shift') && 'FCP' in out) all.CLS = Math.round(worst * 1e4) / 1e4
      const count = interactions() - (before || 0)
      const sorted = [...longest.values()].sort((a, b) => b.duration - a.duration)
      const slow = sorted[Math.min(sorted.length - 1, Math.floor(count / 50))]
      if (slow) all.INP = slow.duration
      // Only a page's first input is told however short it is: these were too short to be told.
      else if (type && count) all.INP = 8
      if (until) view = undefined
      return { vitals: all, attribution: attribution && { ...parts, INP: slow && attribution.inp(slow) } }
    }
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
