// Counts what went wrong in a page: errors of scripts, rejections that nobody handled,
// and what the content security policy kept from happening. Nothing of their texts is
// sent: they may hold anything.
const kinds = { error: 'error', unhandledrejection: 'rejection', securitypolicyviolation: 'csp' }
const most = 100 // a loop that fails for ever tells no more after that

// errors starts to count for one page view, and returns a function that ends it.
export function errors () {
  const out = {}
  const ended = new AbortController()
  for (const type in kinds) {
    const kind = kinds[type]
    addEventListener(type, ({ disposition }) => {
      if (disposition !== 'report') out[kind] = Math.min((out[kind] || 0) + 1, most)
    }, { signal: ended.signal })
  }
  return () => {
    ended.abort()
    return out
  }
}
