/** Tuning lossless drafting for time on recorded text. */
export {
  type DraftingOutcome,
  type DraftingRecords,
  draftsOf,
  playDrafting,
  type PlayDraftingOptions,
  recordDrafting,
  type RecordDraftingOptions,
} from "./play-drafting.js";
export {
  cheapestDrafting,
  draftingFrom,
  type TunedDrafting,
  tuneDrafting,
  type TuneDraftingOptions,
} from "./tune-drafting.js";
