// Counts what went wrong in a page: errors of scripts, rejections that nobody handled,
// what could not be loaded, and what the content security policy kept from happening.
// Nothing of their texts or addresses is sent: they may hold anything.
const kinds = { error: 'error', unhandledrejection: 'rejection', securitypolicyviolation: 'csp' }
const resources = ['img', 'script', 'link'] // and "other", as video and object
const most = 100 // a loop that fails for ever tells no more after that

let out, changed // undefined: no view is watched
let early // addresses of what is counted before its element is told: it had failed before this script ran, or was blocked

function count (kind) {
  if (!out) return
  out[kind] = Math.min((out[kind] || 0) + 1, most)
  changed()
}

const address = element => element.currentSrc || element.src || element.href
const failed = tag => count(resources.includes(tag) ? tag : 'other')

function happened ({ type, disposition, target, blockedURI }) {
  if (disposition === 'report') return
  if (blockedURI && early.size < most) early.add(blockedURI) // as what extensions bring
  if (type !== 'error' || target === window) count(kinds[type])
  // Its entry may come just before its event: then it is counted.
  else if (!early.delete(address(target))) failed(target.localName)
}

// before counts what had failed when this script came, by its status. A picture may come
// with that of an error, and be shown. 0 is of what another origin keeps to itself; and, in
// Chromium, of a style sheet of ours that did not come.
function before () {
  for (const { name, initiatorType, responseStatus } of performance.getEntriesByType('resource')) {
    const missing = responseStatus === 0 && initiatorType === 'link' && name.startsWith(location.origin + '/')
    if (early.has(name) || !resources.includes(initiatorType) || !(responseStatus >= 400 || missing)) continue
    if ([...document.images].some(image => address(image) === name && image.naturalWidth)) continue
    early.add(name)
    failed(initiatorType)
  }
}

// error counts one that the page has handled itself. Of the error nothing is taken.
export const error = () => count('error')

// errors is the part of a view.
export const errors = (view, told) => {
  const mine = out = {}
  changed = told
  if (!early) {
    early = new Set()
    if (!view.type) before()
    // What a resource's element is told does not bubble, but comes by here on its way.
    for (const type in kinds) addEventListener(type, happened, true)
  }
  return until => {
    if (until) out = undefined
    return { errors: mine }
  }
}
