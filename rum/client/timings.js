// What the page's own script times: rum.mark and rum.measure. Sixteen names at the most.
const most = 16

const marks = new Map() // times of the page
let out, since, changed // undefined: no view is watched

const put = (map, name, value) => { if (map.has(name) || map.size < most) map.set(name, value) }

function tell (name, from, to) {
  if (!out || !(to >= from)) return
  put(out, name, Math.round((to - from) * 10) / 10)
  changed()
}

// mark times the moment: since the view's start. A later one of the same name takes its place.
export function mark (name) {
  const now = performance.now()
  put(marks, name, now)
  tell(name, since, now)
}

// measure times what began at a mark, or at a time of performance.now(), and ends now.
// Of a mark that was not made nothing is told.
export function measure (name, start) {
  tell(name, typeof start === 'number' ? start : marks.get(start), performance.now())
}

// timings is the part of a view.
export const timings = (view, told) => {
  const mine = out = new Map()
  since = view.since || performance.getEntriesByType('navigation')[0]?.activationStart || 0
  changed = told
  return until => {
    if (until) out = undefined
    return { timings: [...mine].map(([name, value]) => ({ name, value })) }
  }
}
