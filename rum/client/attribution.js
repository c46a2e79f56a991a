// What the vitals are made of, as the web-vitals library's attribution build defines it
// (https://github.com/GoogleChrome/web-vitals#attribution): milliseconds, and elements as
// selectors, never their texts or addresses.
import { navigation, tenth } from './nav.js'

const most = 100 // bytes of a selector

// selector names an element by its id, or by tags and classes from as far up as fits.
function selector (node) {
  let path = ''
  for (; node && node.nodeType !== Node.DOCUMENT_NODE; node = node.parentNode) {
    const part = node.id ? '#' + node.id : [node.nodeName.toLowerCase(), ...Array.from(node.classList || []).sort()].join('.')
    const longer = path ? part + '>' + path : part
    if (new TextEncoder().encode(longer).length > most) break
    path = longer
    if (node.id) break
  }
  return path
}

// Frames and long animation frames of late, of which either may be told first: those of
// one interaction are a frame or two apart.
const late = 10
const frames = []
const long = []
const remember = (list, one) => {
  if (list.push(one) > late) list.shift()
  return one
}

// blame has an interaction know the script that ran for longest in its time.
function blame (interaction, { startTime, duration, scripts }) {
  if (startTime + duration < interaction.at || startTime > interaction.frame.end) return
  for (const script of scripts) {
    const ran = script.startTime + script.duration - Math.max(interaction.at, script.startTime)
    if (ran > interaction.ran) {
      interaction.ran = ran
      interaction.script = script.invokerType
    }
  }
}

export const attribution = {
  // lcp: until the first byte, the request for what was painted, its end, the paint.
  lcp (entry, start, value, soft) {
    const { element, id, url, startTime } = entry
    const loaded = url && performance.getEntriesByType('resource')
      .filter(e => e.name === url && (e.requestStart || e.startTime) <= startTime).pop()
    const since = at => Math.max(0, at - start)
    const ttfb = soft ? 0 : since(navigation()?.responseStart || 0)
    const asked = Math.max(ttfb, loaded ? since(loaded.requestStart || loaded.startTime) : 0)
    const there = Math.min(value, Math.max(asked, loaded ? since(loaded.responseEnd) : 0))
    return {
      ttfb: tenth(ttfb),
      loadDelay: tenth(asked - ttfb),
      loadDuration: tenth(there - asked),
      renderDelay: tenth(value - there),
      target: selector(element) || id && '#' + id
    }
  },

  // cls: a shift by what it moved furthest.
  cls ({ value, startTime, sources = [] }, start) {
    const { node } = sources.find(({ node }) => node?.nodeType === Node.ELEMENT_NODE) || sources[0] || {}
    return { value: Math.round(value * 1e4) / 1e4, time: tenth(Math.max(0, startTime - start)), target: selector(node) }
  },

  // frame gathers the events that one frame has shown: browsers round durations to 8 ms.
  frame ({ startTime, duration, processingStart, processingEnd }) {
    const shown = startTime + duration
    const frame = frames.find(f => Math.abs(f.shown - shown) <= 8) || remember(frames, { shown, start: processingStart, end: processingEnd })
    frame.start = Math.min(frame.start, processingStart)
    frame.end = Math.max(frame.end, processingEnd)
    return frame
  },

  // interaction gathers an interaction's events: its times are those of the longest (the
  // first of such), its type that of the one whose handlers took longest.
  interaction ({ startTime, duration, name, target, targetSelector, processingStart, processingEnd }, frame, one = { duration: -1, worked: -1 }) {
    if (duration > one.duration) {
      Object.assign(one, { duration, at: startTime, frame, ran: 0 })
      for (const entry of long) blame(one, entry)
    }
    const worked = processingEnd - processingStart
    if (worked > one.worked) Object.assign(one, { worked, event: name })
    one.target ||= selector(target) || targetSelector
    return one
  },

  script (entry, longest) {
    remember(long, entry)
    for (const interaction of longest.values()) blame(interaction, entry)
  },

  // inp: until a handler ran, until all had, until the next frame was shown. A frame's
  // handlers may have begun before the interaction, and end after the rounded duration.
  inp ({ at, duration, event, target, frame, script }) {
    const start = Math.max(frame.start, at)
    const shown = Math.max(at + duration, start)
    const end = Math.min(frame.end, shown)
    return { inputDelay: tenth(start - at), processing: tenth(end - start), presentation: tenth(shown - end), event, target, script }
  }
}
