/**
 * Imported before all else by child.ts: where the job says so, clocks of its process count processor time, of all its
 * threads together.
 */
import type { LlmJob } from "./protocol.js";

const { clock } = JSON.parse(process.argv[2]!) as LlmJob;
if (clock === "processor") {
  performance.now = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
}
