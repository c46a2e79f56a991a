// Sends one beacon per page view: the phases of its navigation and its web
// vitals. Configured by the attributes of its own script element:
//   data-beacon  where to send, same origin
//   data-page    the server's name for this kind of page, never a URL
//   data-sample  share of views that send, 0 to 1; absent is 1
// Keeps nothing on the device and sends nothing that tells one visitor from
// another. Do Not Track and Global Privacy Control are honoured.
import { navigation } from './nav.js'
import { vitals } from './vitals.js'

const { beacon, page, sample = 1 } = document.currentScript.dataset
const refused = navigator.globalPrivacyControl || navigator.doNotTrack === '1'

if (beacon && !refused && navigator.sendBeacon && Math.random() < sample) watch('navigate')

function watch (kind, since = 0) {
  const read = vitals(since)
  const leave = () => {
    if (document.visibilityState !== 'hidden') return
    removeEventListener('visibilitychange', leave, true)
    removeEventListener('pagehide', leave, true)
    const body = { page, connection: navigator.connection?.effectiveType, vitals: read() }
    // A page that comes back from the back/forward cache was not fetched again,
    // so that its navigation entry is still that of the first view.
    body.nav = kind === 'navigate' ? navigation() : { type: kind }
    navigator.sendBeacon(beacon, JSON.stringify(body))
  }
  // Hidden is the last state that a phone is sure to tell; Safari tells pagehide alone at times.
  addEventListener('visibilitychange', leave, true)
  addEventListener('pagehide', leave, true)
}

addEventListener('pageshow', event => {
  if (event.persisted && beacon && !refused && Math.random() < sample) watch('back-forward-cache', event.timeStamp)
}, true)
