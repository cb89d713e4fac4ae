/** The commands, in the order of the help; each file declares one command and runs it. */
import type { CommandDefinition } from "../command.js";
import { calibrateCommand } from "./calibrate.js";
import { certificateCommand } from "./certificate.js";
import { chatCommand } from "./chat.js";
import { demoCommand } from "./demo.js";
import { evalCommand } from "./eval.js";
import { exportCommand } from "./export.js";
import { generateCommand } from "./generate.js";
import { getCommand } from "./get.js";
import { inspectCommand } from "./inspect.js";
import { mergeCommand } from "./merging/index.js";
import { planCommand } from "./plan.js";
import { pretrainCommand } from "./pretrain.js";
import { reportCommand } from "./report.js";
import { serveCommand } from "./serving/index.js";
import { trainCommand } from "./train.js";

export const commands: readonly CommandDefinition[] = [
  getCommand,
  inspectCommand,
  planCommand,
  pretrainCommand,
  trainCommand,
  calibrateCommand,
  reportCommand,
  evalCommand,
  mergeCommand,
  certificateCommand,
  generateCommand,
  chatCommand,
  serveCommand,
  exportCommand,
  demoCommand,
];
