/** The commands, one file each; program.ts gives them their names and options. */
export { run as calibrate } from "./calibrate.js";
export { run as verify } from "./certificate.js";
export { run as checkLossless } from "./check-lossless.js";
export { embeddedHeads, embeddedModel, run as demo } from "./demo.js";
export { run as evaluate } from "./eval.js";
export { run as generate } from "./generate.js";
export { run as inspect } from "./inspect.js";
export { run as plan } from "./plan.js";
export {
  pretrainDefaults,
  pretrainFolder,
  type PretrainRecipe,
  type PretrainReport,
  run as pretrain,
} from "./pretrain.js";
export { run as report } from "./report.js";
export { run as train } from "./train.js";
export { run as tune } from "./tune.js";
