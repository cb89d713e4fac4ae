/**
 * `early-exits demo`: everything on the embedded model in under two minutes on any device: plain text, heads,
 * certificate, unseen speeches, exits and lossless decoding, speeds. Each section has a share of the time, and first
 * measures what fits into it. Heads are trained in front of the reader; if the model's folder has heads that were
 * trained longer and a certificate from more documents, the demo goes on with those.
 */
import { join } from "node:path";
import { fileExists, libraryDefaults } from "early-exits/node";
import { type CommandDefinition, type OptionDefinition, type SettingsOf, withDefaults } from "../command.js";
import { runChatDemo } from "../demo/chat-demo.js";
import { attachDemoHeads, trainDemoHeads } from "../demo/heads-section.js";

import { chooseThresholds } from "../demo/thresholds-section.js";
import { compareSpeeds, showModel, writeTexts } from "../demo/texts-section.js";
import { embeddedModel, openDemo } from "../demo/demo.js";
import * as words from "../demo/words.js";
import type { Io } from "../io.js";
import { commandLine, nextLines } from "../next-lines.js";
import { modelDefaults } from "../open-model.js";
import { agreementOption, deviceOption, exits, integer, maxNewTokensOption, number, seedOption } from "../options.js";

const defaults = {
  device: modelDefaults.device,
  seconds: 15,
  agreement: libraryDefaults.certify.agreement,
  exits: 2,
  maxNewTokens: 64,
  runs: 7,
  seed: 1,
} as const;

const CHAT_TOKENS = 144;
const CHAT_RUNS = 16;

const options = [
  {
    flags: "--model <name>",
    description: "a model folder with a documents.json, or a chat model for which the package brings exits",
    defaultNote: "the embedded model",
  },
  { flags: "--seconds <s>", description: "how long to train the heads", parse: number(600) },
  agreementOption,
  {
    flags: "--exits <n|list>",
    description: "number of exits, or their depths",
    parse: exits,
    defaultNote: "if the model folder has heads, their depths",
  },
  { ...maxNewTokensOption, description: "tokens per text", parse: integer(2) },
  { flags: "--runs <n>", description: "timed runs of each way of decoding, at least 5", parse: integer(5) },
  { ...seedOption, description: "seed of training, calibration and sampling" },
  deviceOption,
] as const satisfies readonly OptionDefinition[];

type DemoSettings = SettingsOf<typeof options>;

export const demoCommand: CommandDefinition<DemoSettings> = {
  name: "demo",
  description: "Train, calibrate and time the exits of the embedded model, in under two minutes",
  options,
  defaults,
  examples: [
    "demo",
    "demo --seconds 10 --agreement .9 --exits 2,4",
    "demo --model HuggingFaceTB/SmolLM2-135M-Instruct",
  ],
  run,
};

async function run(settings: DemoSettings, io: Io): Promise<void> {
  const started = io.now();
  const { seconds, agreement, maxNewTokens, runs, seed } = withDefaults(defaults, settings);
  const { model: folder = embeddedModel, exits, device, json = false } = settings;
  const { delta } = libraryDefaults.certify;
  if (settings.model !== undefined && !(await fileExists(join(settings.model, "documents.json")))) {
    const chat = { name: settings.model, device, agreement, maxNewTokens: settings.maxNewTokens ?? CHAT_TOKENS };
    await runChatDemo({ ...chat, runs: settings.runs ?? CHAT_RUNS }, json, io);
    return;
  }
  const say = (lines: readonly string[]): void => {
    if (!json) io.stdout.write(`${lines.join("\n")}\n`);
  };
  const demo = await openDemo({ folder, device, seconds, agreement, delta, exits, maxNewTokens, runs, seed }, io);

  say(words.modelHeading(demo));
  const opening = await showModel(demo);
  say(words.modelLines(opening, demo));

  const heads = await attachDemoHeads(demo, defaults.exits);
  const { depths } = heads.used;
  say(words.headsHeading(demo, depths));
  const trained = await trainDemoHeads(demo, heads);
  say(words.headsLines(trained, depths));

  say(words.thresholdsHeading(demo));
  const thresholds = await chooseThresholds(demo, heads);
  const { policy, certificate, valid } = thresholds.used;
  say(words.thresholdsLines(thresholds));

  say(words.textsHeading(demo));
  const texts = await writeTexts(demo, heads, policy);
  say(words.textsLines(texts, demo, depths));

  const speeds = await compareSpeeds(demo, heads, policy);
  say(words.speedLines(speeds, demo));
  say(words.conclusionLines(speeds, policy, demo));
  say(words.timeLine((io.now() - started) / 1000, io));

  if (json) {
    const { training, before, after, longer = null } = trained;
    const result = {
      format: "early-exits/demo",
      version: 1,
      model: folder,
      device: demo.model.device.backend,
      depths,
      training: { ...training, agreement: { before, after, longer } },
      policy,
      certificate: certificate ?? null,
      certificateValid: valid,
      test: thresholds.outcome,
      texts: {
        plain: opening.plain.pieces.map(({ text }) => text).join(""),
        exits: texts.exits.summary.text,
        lossless: texts.lossless.summary.text,
      },
      runs: speeds.runs,
      ways: speeds.results,
      seconds: (io.now() - started) / 1000,
    };
    io.stdout.write(`${JSON.stringify(result)}\n`);
  }
  say(
    nextLines(
      commandLine("plan", ["my-model.gguf"]),
      commandLine("train", ["my-model.gguf"], { self: true, out: "heads" }),
    ),
  );
  await demo.model.device.dispose();
}
