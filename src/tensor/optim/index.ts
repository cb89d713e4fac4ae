/** AdamW, its schedule, and training runs that resume. */
export { Adamw, type AdamwOptions, type AdamwState, cosineSchedule, type ScheduleOptions } from "./optim.js";
export { runSteps } from "./run-steps.js";
