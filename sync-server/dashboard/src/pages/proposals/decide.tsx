import { Form, Input, InputNumber, Modal, Radio, Switch } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import { useSettings, type Decision, type Severity } from "../../api/files";
import { newId } from "../../id";
import { word } from "../../words";

const SEVERITIES: Severity[] = ["minor", "moderate", "serious"];

interface Deciding {
  title: string;
  /** The proposal's key: `P1:…`, `R1:…`, `R2:…`. */
  proposal: string;
  /** The decision's document, where there was one already. */
  appraisal: string | null;
  close: () => void;
}

/** The service manager decides, with severity and reason; the evidence is kept as it stands now. */
export function Decide({ title, proposal, appraisal, close }: Deciding): ReactNode {
  const { t, i18n } = useTranslation();
  const settings = useSettings().data;
  const { give, busy } = useCommand(t("proposal.decided_now"));
  const [id] = useState(() => appraisal ?? newId());
  const suggestion = proposal.startsWith("R2");
  const penalty = proposal.startsWith("P");
  const choices: Decision[] = suggestion ? ["adopted", "declined"] : ["confirmed", "waived"];
  const [decision, setDecision] = useState<Decision>();
  const [severity, setSeverity] = useState<Severity>();
  const [yuan, setYuan] = useState<number | null>(null);
  const [major, setMajor] = useState(false);
  const [reason, setReason] = useState("");
  const granted = decision === "confirmed" || decision === "adopted";
  const usual = severity === undefined ? undefined : settings?.severities[severity]?.penalty;
  const amount = granted ? Math.round((yuan ?? (usual ?? 0) / 100) * 100) : 0;
  const ready = decision !== undefined && reason.trim() !== "" && (!granted || !penalty || severity !== undefined);
  const save = async (): Promise<void> => {
    if (decision === undefined) return;
    const done = await give({
      do: "appraise",
      id,
      proposal,
      decision,
      severity: granted && penalty ? (severity ?? null) : null,
      amount: penalty ? -amount : amount,
      major: decision === "adopted" && major,
      reason: reason.trim(),
    });
    if (done) close();
  };
  const label = (one: Severity): string => {
    const level = settings?.severities[one];
    return (i18n.language === "en" ? level?.label_en : level?.label) || word("severity", one);
  };
  return (
    <Modal
      open
      title={title}
      okText={t("proposal.decide")}
      cancelText={t("ask.cancel")}
      okButtonProps={{ disabled: !ready, loading: busy }}
      onOk={() => void save()}
      onCancel={close}
      width={480}
    >
      <Form layout="vertical">
        <Form.Item label={word("field", "decision")} required>
          <Radio.Group
            optionType="button"
            aria-label={word("field", "decision")}
            value={decision ?? null}
            onChange={(event) => setDecision(event.target.value as Decision)}
            options={choices.map((value) => ({ value, label: word("decision", value) }))}
          />
        </Form.Item>
        {granted && penalty && (
          <Form.Item label={word("field", "severities")} required>
            <Radio.Group
              optionType="button"
              aria-label={word("field", "severities")}
              value={severity ?? null}
              onChange={(event) => setSeverity(event.target.value as Severity)}
              options={SEVERITIES.map((value) => ({ value, label: label(value) }))}
            />
          </Form.Item>
        )}
        {decision === "adopted" && (
          <Form.Item label={t("proposal.major")} htmlFor="decide-major" extra={t("proposal.major_help")}>
            <Switch id="decide-major" checked={major} onChange={setMajor} />
          </Form.Item>
        )}
        {granted && (
          <Form.Item label={t(penalty ? "proposal.penalty" : "proposal.reward")} htmlFor="decide-amount">
            <InputNumber id="decide-amount" prefix="¥" min={0} precision={2} value={yuan ?? (usual === undefined ? null : usual / 100)} onChange={setYuan} style={{ width: 160 }} />
          </Form.Item>
        )}
        <Form.Item label={t("ask.reason")} htmlFor="decide-reason" required extra={t("proposal.reason_help")} style={{ marginBottom: 0 }}>
          <Input.TextArea id="decide-reason" rows={2} className="grows" value={reason} onChange={(event) => setReason(event.target.value)} />
        </Form.Item>
      </Form>
    </Modal>
  );
}
