/** Attacks on the package, and the judge of their outcomes. */
export { killCommands, tortureDisks } from "./commands/index.js";
export { filesOf, hostileFolder, useFolder } from "./hostile-folders.js";
export { hostileHeads, soundHeads, useHeads } from "./hostile-heads.js";
export { hostileTokenizer, useTokenizer } from "./hostile-tokenizers.js";
export { judge } from "./judge.js";
export { pressMemory } from "./memory-pressure.js";
export { runTorture } from "./parts.js";
