// Soft navigations, where the browser tells of them: an input of the visitor's that
// changes the address and paints. https://wicg.github.io/soft-navigations/
// Of the new address nothing is told: the page's own script says which page it is.

// soft has each of them begin a view.
export function soft (begin) {
  if (!begin || !PerformanceObserver.supportedEntryTypes.includes('soft-navigation')) return
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) {
      begin({ since: entry.startTime, type: 'soft-navigation', soft: entry })
    }
  }).observe({ type: 'soft-navigation', buffered: true })
}
