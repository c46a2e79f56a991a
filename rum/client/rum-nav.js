// For pages that want least: the navigation's phases alone.
import { nav } from './nav.js'
import { start } from './view.js'

start(document.currentScript.dataset, nav)
