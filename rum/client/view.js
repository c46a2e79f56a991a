// The life of page views: when one begins and ends, and how it is told of.
//
// A view is { since, type, soft }: when it began (0, or a time since the page's
// navigation), its type if it is not that of the navigation entry, and of a soft
// navigation the browser's entry.
//
// A part is a function of a view and of `changed`, to be called when it has more to
// tell. It returns a function that reads it: an object whose members go into the
// beacon. What that is given is when the view has ended, in the page's time; while the
// view goes on it is given nothing.

// calm is how long (ms) changes wait for others, so that a beacon is not written anew
// for each of them.
const calm = 1000

// start watches the page's views, and tells of a share of them. It returns what begins
// a view that it can't see begin, undefined if nothing may be told.
//
// A view's page is what options.page is when it begins.
export function start (options, ...parts) {
  const { beacon, sample = 1 } = options
  if (!beacon || !navigator.sendBeacon || navigator.globalPrivacyControl || navigator.doNotTrack === '1') return
  let end // of the view that is watched; undefined if none is

  const begin = view => {
    end?.(view.since)
    if (Math.random() >= sample) return
    const { page } = options
    let timer, kept
    const changed = () => { if (self.fetchLater) timer ||= setTimeout(() => { timer = 0; if (end === mine) keep(tell()) }, calm) }
    const reads = parts.map(part => part(view, changed))
    const tell = until => JSON.stringify(Object.assign({
      page,
      connection: navigator.connection?.effectiveType,
      automated: navigator.webdriver
    }, ...reads.map(read => read(until))))

    // keep has the browser send body should the page end without a word, as in a crash.
    // Browsers without fetchLater, or with too much to send later already, do not.
    const keep = (body, activateAfter) => {
      const next = new AbortController()
      try {
        fetchLater(beacon, { method: 'POST', body, signal: next.signal, activateAfter })
      } catch { return }
      kept?.abort()
      return (kept = next)
    }

    const mine = end = until => {
      end = undefined
      const body = tell(until)
      // It is refused while too much waits to be sent.
      if (navigator.sendBeacon(beacon, body)) kept?.abort()
      // What is kept from before stays until the fetch has worked: it may be refused as well.
      else if (!keep(body, 0)) fetch(beacon, { method: 'POST', body, keepalive: true }).then(() => kept?.abort(), () => {})
    }
    changed()
    addEventListener('load', changed)
  }

  // Hidden is the last state that a phone is sure to tell; Safari tells pagehide
  // alone at times, and at pagehide a page is not hidden yet.
  const leave = () => end?.(Infinity)
  addEventListener('visibilitychange', () => { if (document.hidden) leave() }, true)
  addEventListener('pagehide', leave, true)
  addEventListener('pageshow', e => { if (e.persisted) begin({ since: e.timeStamp, type: 'back-forward-cache' }) }, true)

  // A prerendered page is a view once somebody sees it, and may never be one.
  const first = () => begin({ since: 0 })
  if (document.prerendering) document.addEventListener('prerenderingchange', first)
  else first()
  return begin
}
