package store

// query names a query: the metrics' label and the statsd key. One name may stand
// for a few statements that do the same for different filters.
type query int

const (
	qPing query = iota
	qBegin
	qCommit
	qRollback
	qAddon
	qAddons
	qAddonTexts
	qAddonAuthors
	qAddonCategories
	qAddonTags
	qAddonPreviews
	qAddonCounts
	qAddonIDs
	qBrowse
	qBrowseTotal
	qVersions
	qVersionsTotal
	qVersion
	qVersionCompat
	qFile
	qCandidates
	qRatings
	qRatingsTotal
	qTags
	qSaveLook
	qSaveLookVersions
	qSaveLookRatings
	qSaveFreeID
	qSaveFreeSlug
	qSaveAddon
	qSaveTexts
	qSaveAuthors
	qSaveCategories
	qSaveTags
	qSaveTotals
	qSavePreviews
	qSaveVersion
	qSaveLicense
	qSaveFile
	qSaveCompat
	qSaveRatings
	qSaveCurrent
	qSaveOffers
	qSaveSums
	qSaveRollout
	qRollouts
	qBulkState
	qBulkRows
	qAggregateLook
	qAggregateSave
	qAggregateTags
	qAggregateTotals
	qDownloadsCount
	qJobPush
	qJobLease
	qJobDone
	qJobRetry
	qJobDead
	qJobReplay
	qJobsDead
	qJobDepth
	qClock
	qChanges
	qChange
	qGUIDs
	qHeartbeat
	qPosition
	queryCount
)

// queryNames has a name for each.
func queryNames() [queryCount]string {
	return [queryCount]string{
		qPing:             "ping",
		qBegin:            "begin",
		qCommit:           "commit",
		qRollback:         "rollback",
		qAddon:            "addon",
		qAddons:           "addons",
		qAddonTexts:       "addon_texts",
		qAddonAuthors:     "addon_authors",
		qAddonCategories:  "addon_categories",
		qAddonTags:        "addon_tags",
		qAddonPreviews:    "addon_previews",
		qAddonCounts:      "addon_counts",
		qAddonIDs:         "addon_ids",
		qBrowse:           "browse",
		qBrowseTotal:      "browse_total",
		qVersions:         "versions",
		qVersionsTotal:    "versions_total",
		qVersion:          "version",
		qVersionCompat:    "version_compat",
		qFile:             "file",
		qCandidates:       "candidates",
		qRatings:          "ratings",
		qRatingsTotal:     "ratings_total",
		qTags:             "tags",
		qSaveLook:         "save_look",
		qSaveLookVersions: "save_look_versions",
		qSaveLookRatings:  "save_look_ratings",
		qSaveFreeID:       "save_free_id",
		qSaveFreeSlug:     "save_free_slug",
		qSaveAddon:        "save_addon",
		qSaveTexts:        "save_texts",
		qSaveAuthors:      "save_authors",
		qSaveCategories:   "save_categories",
		qSaveTags:         "save_tags",
		qSaveTotals:       "save_totals",
		qSavePreviews:     "save_previews",
		qSaveVersion:      "save_version",
		qSaveLicense:      "save_license",
		qSaveFile:         "save_file",
		qSaveCompat:       "save_compat",
		qSaveRatings:      "save_ratings",
		qSaveCurrent:      "save_current",
		qSaveOffers:       "save_offers",
		qSaveSums:         "save_sums",
		qSaveRollout:      "save_rollout",
		qRollouts:         "rollouts",
		qBulkState:        "bulk_state",
		qBulkRows:         "bulk_rows",
		qAggregateLook:    "aggregate_look",
		qAggregateSave:    "aggregate_save",
		qAggregateTags:    "aggregate_tags",
		qAggregateTotals:  "aggregate_totals",
		qDownloadsCount:   "downloads_count",
		qJobPush:          "job_push",
		qJobLease:         "job_lease",
		qJobDone:          "job_done",
		qJobRetry:         "job_retry",
		qJobDead:          "job_dead",
		qJobReplay:        "job_replay",
		qJobsDead:         "jobs_dead",
		qJobDepth:         "job_depth",
		qClock:            "clock",
		qChanges:          "changes",
		qChange:           "change",
		qGUIDs:            "guids",
		qHeartbeat:        "heartbeat",
		qPosition:         "position",
	}
}

func (q query) String() string { return queryNames()[q] }

// asksForOne says whether a query that answers with a whole thing's rows finds
// one thing or misses it.
func (q query) asksForOne() bool { return q == qAddon || q == qVersion || q == qCandidates }
