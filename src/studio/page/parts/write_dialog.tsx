import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.ts";
import { randomUuid } from "../../../lib/random_uuid.ts";
import { asFailure, call } from "../lib/call.ts";
import { Confirm } from "./dialog.tsx";
import { Foreign, ForeignCode } from "./foreign.tsx";

/** A button that opens a form to write a message to a stream. */
export function WriteButton({ streamName }: { readonly streamName: string }): JSX.Element {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setIsOpen(true)}>Write a message</button>
      {isOpen && <WriteDialog streamName={streamName} close={() => setIsOpen(false)} />}
    </>
  );
}

function WriteDialog(
  { streamName, close }: { readonly streamName: string; readonly close: () => void },
): JSX.Element {
  const [type, setType] = useState("");
  const [data, setData] = useState("{}");
  const [metadata, setMetadata] = useState("");
  const [version, setVersion] = useState("");
  const { unsure, send } = useSending();
  const problems = [problemOf("Data", data), problemOf("Metadata", metadata)]
    .filter((it) => it !== undefined);
  const content = problems.length > 0 ? undefined : JSON.stringify({
    streamName,
    type,
    ...(data.trim() !== "" && { data: JSON.parse(data) }),
    ...(metadata.trim() !== "" && { metadata: JSON.parse(metadata) }),
  });
  const act = async () => announce(`Written at position ${await send(content!, version)}`);
  return (
    <Confirm
      title="Write a message"
      verb="Write it"
      act={act}
      close={close}
      isReady={type.trim() !== "" && problems.length === 0}
    >
      <p>
        The message is written at the end of{" "}
        <ForeignCode text={streamName} />, and the consumers of its category handle it. A message
        stays for good.
      </p>
      <label>
        Type<input type="text" required value={type} onInput={valueTo(setType)} />
      </label>
      <JsonField name="Data" rows={6} value={data} set={setData} />
      <JsonField name="Metadata" rows={3} value={metadata} set={setMetadata} />
      <label>
        Expected version: the position of the last message, -1 for no stream
        <input type="number" min={-1} value={version} onInput={valueTo(setVersion)} />
      </label>
      {unsure !== undefined && <Unsure isSame={unsure === content} />}
      {problems.map((problem) => (
        <p key={problem} class="problem" role="alert">
          <Foreign text={problem} />
        </p>
      ))}
    </Confirm>
  );
}

function JsonField(
  { name, rows, value, set }: {
    readonly name: string;
    readonly rows: number;
    readonly value: string;
    readonly set: (value: string) => void;
  },
): JSX.Element {
  return (
    <label>
      {name}, as JSON
      <textarea rows={rows} class="mono" value={value} onInput={valueTo(set)} spellcheck={false} />
    </label>
  );
}

interface Sending {
  /** The message that was sent last of those that may have been written, though no answer said so. */
  readonly unsure: string | undefined;
  /** Sends a message, as JSON. Sent again, it has the id that it had, so that it is written once. */
  readonly send: (content: string, version: string) => Promise<number>;
}

function useSending(): Sending {
  const [ids] = useState(() => new Map<string, string>());
  const [unsure, setUnsure] = useState<string>();
  const send: Sending["send"] = async (content, version) => {
    // With the id of another content, the store would answer where that is, and write nothing.
    const id = ids.get(content) ?? randomUuid();
    ids.set(content, id);
    try {
      const { position } = await call("write", {
        ...JSON.parse(content),
        id,
        ...(version !== "" && { expectedVersion: Number(version) }),
      });
      return position;
    } catch (error) {
      const { status } = asFailure(error);
      if (status === 0 || status >= 500) setUnsure(content);
      throw error;
    }
  };
  return { unsure, send };
}

function Unsure({ isSame }: { readonly isSame: boolean }): JSX.Element {
  return (
    <p role="status">
      {isSame
        ? "The message may have been written. Write it again as it is: it is written once."
        : "The message as it was sent may have been written. What is here now would be one more."}
    </p>
  );
}

export function valueTo(
  set: (value: string) => void,
): (event: { currentTarget: { value: string } }) => void {
  return ({ currentTarget }) => set(currentTarget.value);
}

function problemOf(name: string, text: string): string | undefined {
  if (text.trim() === "") return undefined;
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `${name}: ${(error as Error).message}`;
  }
}
