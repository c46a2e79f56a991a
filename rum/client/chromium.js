// What Chromium alone says of a navigation, beside its times.
import { navigation } from './nav.js'

const most = 16

// reasons are those of a frame and of the frames in it, as far as they are told.
const reasons = ({ reasons: own, children }) => [...(own || []).map(({ reason }) => reason), ...(children || []).flatMap(reasons)]

// chromium is the part of a view that tells how far the browser trusts its times, which are
// longer while it is starting itself; and why a page that was gone back to was not kept in
// the back/forward cache.
// https://w3c.github.io/navigation-timing/#sec-performance-timing-confidence
// https://html.spec.whatwg.org/#the-notrestoredreasons-interface
export const chromium = ({ type }) => () => {
  const { confidence, notRestoredReasons } = !type && navigation() || {}
  return {
    confidence: confidence?.value ? confidence : undefined,
    notRestored: notRestoredReasons ? [...new Set(reasons(notRestoredReasons))].slice(0, most) : undefined
  }
}
