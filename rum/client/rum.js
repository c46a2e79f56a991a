// Sends one beacon per page view: the phases of its navigation, its web vitals, and
// how many errors it had. Configured by the attributes of its own script element:
//   data-beacon  where to send, same origin
//   data-page    the server's name for this kind of page, never a URL
//   data-sample  share of views that send, 0 to 1; absent is 1
// Keeps nothing on the device and sends nothing that tells one visitor from
// another. Do Not Track and Global Privacy Control are honoured.
import { errors } from './errors.js'
import { navigation } from './nav.js'
import { vitals } from './vitals.js'

const { beacon, page, sample = 1 } = document.currentScript.dataset
const refused = navigator.globalPrivacyControl || navigator.doNotTrack === '1'

if (beacon && !refused && navigator.sendBeacon) {
  // A prerendered page is a view once somebody sees it, and may never be one.
  if (document.prerendering) addEventListener('prerenderingchange', () => watch(0), { once: true })
  else watch(0)
  addEventListener('pageshow', event => { if (event.persisted) watch(event.timeStamp) }, true)
}

// watch follows one view, which began at `since`: 0, or the time of the page's
// return from the back/forward cache.
function watch (since) {
  if (Math.random() >= sample) return
  const read = vitals(since)
  const failed = errors()
  const leave = ({ type }) => {
    if (type !== 'pagehide' && document.visibilityState !== 'hidden') return
    removeEventListener('visibilitychange', leave, true)
    removeEventListener('pagehide', leave, true)
    navigator.sendBeacon(beacon, JSON.stringify({
      page,
      connection: navigator.connection?.effectiveType,
      automated: navigator.webdriver || undefined,
      vitals: read(),
      errors: failed(),
      // A page that comes back from the back/forward cache was not fetched again,
      // so that its navigation entry is still that of the first view.
      nav: since ? { type: 'back-forward-cache' } : navigation()
    }))
  }
  // Hidden is the last state that a phone is sure to tell; Safari tells pagehide
  // alone at times, and at pagehide a page is not hidden yet.
  addEventListener('visibilitychange', leave, true)
  addEventListener('pagehide', leave, true)
}
