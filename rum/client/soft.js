// Soft navigations, where the browser tells of them: an input of the visitor's that
// changes the address and paints. https://wicg.github.io/soft-navigations/
// Of the address only the path is told, for the server to name the kind of page.

// soft has each of them begin a view.
export function soft (begin) {
  if (!begin || !PerformanceObserver.supportedEntryTypes.includes('soft-navigation')) return
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) {
      begin({ since: entry.startTime, type: 'soft-navigation', soft: entry, name: { url: new URL(entry.name, location).pathname } })
    }
  }).observe({ type: 'soft-navigation', buffered: true })
}
