/**
 * `early-exits chat`: a conversation in the terminal. Answers stream to stdout, each token in the colour of the depth
 * it needed; the rest goes to stderr. Ctrl-C stops an answer, whose beginning stays in the history; a second one ends
 * the chat. Turns share the KV cache (exits/chat-session.ts).
 */
import { EarlyExitError } from "early-exits";
import type { FinishedText } from "early-exits/calibrate";
import { ChatSession, type TurnSummary } from "early-exits/exits";
import { encodeChat } from "early-exits/model";
import { libraryDefaults, readText } from "early-exits/node";
import { alarmLine, auditOption, type AuditSettings, noAuditOption } from "../audit.js";
import { type CommandDefinition, given, type OptionDefinition, type SettingsOf } from "../command.js";
import { speed } from "../format.js";
import { type Decoding, decodingOptions, openDecoding } from "../decoding.js";
import { breathe, colorsOf, type Dialog, type Io, note } from "../io.js";
import { commandLine, nextLines } from "../next-lines.js";
import { modelDefaults } from "../open-model.js";
import { modelFolder, modelOptions, samplingFlags, samplingOptionDefaults } from "../options.js";

const options = [
  { flags: "--system <text>", description: "system message that the conversation begins with" },
  { flags: "--template <file>", description: "Jinja chat template to use instead of the model's own" },
  ...decodingOptions,
  { ...auditOption, defaultNote: "every answer, with a certificate" },
  noAuditOption,
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type ChatSettings = AuditSettings & SettingsOf<typeof options, "dir">;

export const chatCommand: CommandDefinition<ChatSettings> = {
  name: "chat",
  description: "Talk to a model that has a chat template; answers on stdout, telemetry on stderr",
  positional: [modelFolder],
  options,
  defaults: { ...modelDefaults, ...samplingOptionDefaults, ...libraryDefaults.chat }, // the library's own
  examples: [
    "chat my-model",
    "chat SmolLM2-135M-Instruct.Q4_1.gguf --shipped .9",
    'chat my-model --system "Answer in one sentence." --temperature .7 --dtype int8',
  ],
  run,
};

const HELP = [
  "/system TEXT  sets the system message; without TEXT, removes it",
  "/clear        forgets the conversation, but not the system message",
  "/help         shows this list",
  "/exit         ends the chat",
  "Ctrl-C stops an answer; a second one ends the chat.",
];

async function run(settings: ChatSettings, io: Io): Promise<void> {
  const template = settings.template === undefined ? undefined : await readText(settings.template);
  const decoding = await openDecoding(io, "chat", settings, { auditEvery: 1 });
  const { model, source, policy, plain, colors } = decoding;
  const rendering = { template, date: new Date(io.now()) };
  await encodeChat(model.tokenizer, [{ role: "user", content: "" }], rendering); // refuses what has no template
  const chat = new ChatSession(source, {
    ...plain,
    chat: rendering,
    ...(settings.system !== undefined && { system: settings.system }),
  });
  if (!settings.json) {
    note(io, "/help lists the commands");
    if (policy !== undefined && io.color) note(io, `legend: ${colors.legend}`);
  }
  try {
    const turns = await talk(io, chat, { decoding, rendering, json: settings.json ?? false });
    await decoding.kept();
    const result = { messages: chat.messages, turns, device: model.device.backend };
    if (settings.json) io.stdout.write(`${JSON.stringify(result)}\n`);
    else note(io, ...nextLines(...nextSteps(settings)));
  } finally {
    chat.dispose();
    decoding.dispose();
  }
}

function nextSteps(settings: ChatSettings): string[] {
  const { dir, heads, policy, shipped, dtype } = settings;
  const text = shipped === undefined ? {} : samplingFlags(settings);
  const served = commandLine("serve", [dir], { heads, policy, shipped, ...text, dtype });
  if (policy !== undefined || shipped !== undefined) return [served];
  return [served, commandLine("train", [dir], { self: true, dtype, out: "heads" })];
}

interface Talk {
  readonly decoding: Decoding;
  readonly rendering: NonNullable<Parameters<typeof encodeChat>[2]>;
  readonly json: boolean;
}

/** Returns the summaries of the answers that were not stopped. */
async function talk(io: Io, chat: ChatSession, parts: Talk): Promise<TurnSummary[]> {
  const turns: TurnSummary[] = [];
  const readings = openReadings(io, chat, parts);
  let interrupts = 0; // since the last line
  let answering: AbortController | undefined;
  const dialog: Dialog = io.openDialog(() => {
    interrupts++;
    answering?.abort(new Error("the answer was stopped"));
    if (interrupts > 1) dialog.close();
    else if (answering === undefined) note(io, "(Ctrl-C again, or /exit, ends the chat)");
  });
  try {
    for (let line = await dialog.ask("> "); line !== undefined; line = await dialog.ask("> ")) {
      interrupts = 0;
      const text = line.trim();
      if (text === "/exit") break;
      if (text === "") continue;
      await readings.stop();
      if (text.startsWith("/")) {
        obey(io, chat, text);
        continue;
      }
      answering = new AbortController();
      const summary = await answer(io, chat, text, { ...parts, signal: answering.signal });
      answering = undefined;
      if (summary === undefined) continue;
      turns.push(summary);
      readings.start(summary);
    }
    if (interrupts === 0) await readings.ended(); // the input ended: nobody waits for a prompt
  } finally {
    dialog.close();
    await readings.stop();
  }
  return turns;
}

/** Audits of answers while the user reads them. */
function openReadings(io: Io, chat: ChatSession, { decoding, rendering }: Talk) {
  const { audit, model } = decoding;
  let reading: AbortController | undefined;
  const ended = async (): Promise<void> => {
    await audit?.settled();
  };
  return {
    ended,
    /** Begins with the answer that the history ends with. */
    start({ ids, promise }: TurnSummary): void {
      if (audit === undefined || promise.kind !== "certified" || audit.state.alarm.raised) return;
      const asked = chat.messages.slice(0, -1);
      const { signal } = (reading = new AbortController());
      const text = async (): Promise<FinishedText> => ({
        promptIds: await encodeChat(model.tokenizer, asked, rendering),
        ids,
      });
      audit.read(text, { signal }).then(
        () => {
          if (audit.state.alarm.raised) note(io, alarmLine(audit.report));
        },
        (error: unknown) => {
          if (!signal.aborted) note(io, `audits: ${error instanceof Error ? error.message : String(error)}`);
        },
      );
    },
    /** Gives up the answer that is being read: it counts for nothing. */
    async stop(): Promise<void> {
      reading?.abort(new Error("the next message came"));
      await ended();
    },
  };
}

function obey(io: Io, chat: ChatSession, line: string): void {
  const [, command, text = ""] = /^(\S+)\s*(.*)$/s.exec(line) ?? [];
  switch (command) {
    case "/system":
      chat.system = text === "" ? undefined : text;
      note(io, text === "" ? "no system message from now on" : "the system message holds from now on");
      break;
    case "/clear":
      chat.clear();
      note(io, "the conversation is forgotten");
      break;
    default:
      if (command !== "/help") note(io, `there is no command ${JSON.stringify(command)}`);
      for (const help of HELP) note(io, help);
  }
}

/** Returns undefined if the answer was stopped or refused; a refusal is explained and the chat goes on. */
async function answer(
  io: Io,
  chat: ChatSession,
  text: string,
  { decoding, json, signal }: Talk & { readonly signal: AbortSignal },
): Promise<TurnSummary | undefined> {
  const { colors, model, audit } = decoding;
  const { policy, lossless, drafts } = audit?.state.alarm.raised === true ? {} : decoding.options;
  const turn = chat.send(text, { signal, ...given({ policy, lossless, drafts }) });
  let written = false;
  try {
    for await (const { text: piece, depth } of turn) {
      if (piece !== "" && !json) {
        io.stdout.write(colors.paint(piece, depth));
        written = true;
      }
      await breathe();
    }
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!(error instanceof EarlyExitError)) throw error;
    note(io, `error: ${error.message}${error.code === "context-overflow" ? " (/clear forgets the conversation)" : ""}`);
    return undefined;
  } finally {
    if (written) io.stdout.write("\n");
    if (signal.aborted) note(io, "(stopped)");
  }
  const { summary } = turn;
  const { newTokens, promptTokens, reusedTokens, meanDepth } = summary;
  const depth = policy === undefined ? "" : `, mean depth ${meanDepth.toFixed(2)} of ${model.config.numLayers} blocks`;
  const telemetry =
    `${newTokens} tokens, ${speed(summary.tokensPerSecond)}${depth}; ` +
    `prompt of ${promptTokens} tokens, ${reusedTokens} of them cached`;
  note(io, colorsOf(io).dim(telemetry));
  return summary;
}
