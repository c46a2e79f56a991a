// All parts together.
import { attribution } from './attribution.js'
import { chromium } from './chromium.js'
import { errors } from './errors.js'
import { nav, server } from './nav.js'
import { soft } from './soft.js'
import { timings } from './timings.js'
import { start as watch } from './view.js'
import { vitals } from './vitals.js'

export { error } from './errors.js'
export { mark, measure } from './timings.js'

// start sends one beacon per page view: the phases of its navigation, its web vitals and
// what they are made of, what its own script has timed, and how many errors it had.
//   beacon  where to send: of the same origin, or of one that takes this site's
//   page    the server's name for this kind of page, never a URL; it is read anew when a
//           soft navigation begins a view
//   sample  share of views that send, 0 to 1; absent is 1
// It keeps nothing on the device and sends nothing that tells one visitor from
// another. Do Not Track and Global Privacy Control are honoured.
export const start = options => soft(watch(options, nav, server, chromium, vitals(attribution), errors, timings))
