// The classic script: configured by its own element's data-beacon, data-page and
// data-sample, with its functions in window.rum. See all.js.
import { error, mark, measure, start } from './all.js'

window.rum = { mark, measure, error }
start(document.currentScript.dataset)
