/** Screened decoding beside decoding with the full unembedding. */
export { type ScreeningTiming, timeScreening } from "./time-screening.js";
