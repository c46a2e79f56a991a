// Counts what went wrong in a page: errors of scripts, rejections that nobody handled,
// and what the content security policy kept from happening. Nothing of their texts is
// sent: they may hold anything.
const kinds = { error: 'error', unhandledrejection: 'rejection', securitypolicyviolation: 'csp' }
const most = 100 // a loop that fails for ever tells no more after that

let out, changed // undefined: no view is watched

function count (kind) {
  if (!out) return
  out[kind] = Math.min((out[kind] || 0) + 1, most)
  changed()
}

// error counts one that the page has handled itself. Of the error nothing is taken.
export const error = () => count('error')

// errors is the part of a view.
export const errors = (view, told) => {
  if (!changed) {
    for (const type in kinds) addEventListener(type, ({ disposition }) => { if (disposition !== 'report') count(kinds[type]) })
  }
  const mine = out = {}
  changed = told
  return until => {
    if (until) out = undefined
    return { errors: mine }
  }
}
