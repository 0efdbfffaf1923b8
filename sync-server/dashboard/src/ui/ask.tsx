import { Form, Input, Modal, type InputRef } from "antd";
import { useCallback, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

interface Question {
  title: string;
  /** What will happen, in a sentence. */
  what?: string;
  ok?: string;
  danger?: boolean;
  /** What the text is; the reason where absent. */
  label?: string;
  beginning?: string;
  /** Whether nothing may be said. */
  optional?: boolean;
}

/** Asks for a reason before something is done; resolves to nothing where it is not to be done after all. */
export function useAsk(): [(question: Question) => Promise<string | undefined>, ReactNode] {
  const { t } = useTranslation();
  const [question, setQuestion] = useState<Question>();
  const [text, setText] = useState("");
  const answer = useRef<(text: string | undefined) => void>(undefined);
  const input = useRef<InputRef>(null);
  const ask = useCallback((asked: Question) => {
    setText(asked.beginning ?? "");
    setQuestion(asked);
    return new Promise<string | undefined>((resolve) => (answer.current = resolve));
  }, []);
  const close = (said: string | undefined): void => {
    setQuestion(undefined);
    answer.current?.(said);
  };
  const ready = question?.optional === true || text.trim() !== "";
  const label = question?.label ?? t("ask.reason");
  return [
    ask,
    <Modal
      key="ask"
      open={question !== undefined}
      title={question?.title}
      okText={question?.ok ?? t("ask.ok")}
      cancelText={t("ask.cancel")}
      okButtonProps={{ disabled: !ready, danger: question?.danger ?? false }}
      onOk={() => close(text.trim())}
      onCancel={() => close(undefined)}
      afterOpenChange={(open) => open && input.current?.focus()}
      destroyOnHidden
      width={440}
    >
      {question?.what && <p>{question.what}</p>}
      <Form layout="vertical">
        <Form.Item label={label} required={question?.optional !== true} style={{ marginBottom: 0 }}>
          <Input
            ref={input}
            value={text}
            aria-label={label}
            maxLength={500}
            onChange={(event) => setText(event.target.value)}
            onPressEnter={() => ready && close(text.trim())}
          />
        </Form.Item>
      </Form>
    </Modal>,
  ];
}
