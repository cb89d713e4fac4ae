/** Commands that are killed, or that run on bad disks, and the judge of what they leave. */
export { type DiskCounts, tortureDisks } from "./disks.js";
export { type KillCounts, killCommands } from "./kills.js";
