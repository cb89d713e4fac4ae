/** AdamW, its schedule, and training that resumes. */
export { Adamw, type AdamwOptions, type AdamwState, cosineSchedule, type ScheduleOptions } from "./optim.js";
export { restoreTraining, saveTraining } from "./training-state.js";
