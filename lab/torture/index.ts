/** Attacks on the package, and the judge of their outcomes. */
export { type HostileFolder, filesOf, hostileFolder, useFolder } from "./hostile-folders.js";
export { type HostileHeads, hostileHeads, soundHeads, useHeads } from "./hostile-heads.js";
export { type HostileTokenizer, hostileTokenizer, useTokenizer } from "./hostile-tokenizers.js";
export { judge, type Judged, type JudgeOptions, type Verdict } from "./judge.js";
export { pressMemory, type PressureCounts, type PressureOptions } from "./memory-pressure.js";
export { killCommands, type KillCounts, type KillOptions } from "./kills.js";
export { type Campaign, runCampaign } from "./campaign.js";
