/** Attacks on the package, and the judge of their outcomes. */
export { filesOf, hostileFolder, useFolder } from "./hostile-folders.js";
export { hostileHeads, soundHeads, useHeads } from "./hostile-heads.js";
export { hostileTokenizer, useTokenizer } from "./hostile-tokenizers.js";
export { judge } from "./judge.js";
export { pressMemory } from "./memory-pressure.js";
export { killCommands } from "./kills.js";
export { type Campaign, runCampaign } from "./campaign.js";
export { tortureDisks } from "./disks.js";
