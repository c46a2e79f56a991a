// For pages that want less: the navigation's phases and the web vitals, without what
// they are made of.
import { nav } from './nav.js'
import { start } from './view.js'
import { vitals } from './vitals.js'

start(document.currentScript.dataset, nav, vitals())
