import { CloudUploadOutlined, DownloadOutlined } from "@ant-design/icons";
import { Alert, Button, Table, Tag, Upload } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useAct } from "../api/act";
import { look, take, type Imported, type LineError, type PlannedLine } from "../api/connections";
import { Head } from "../ui/parts";
import { Sheet } from "../ui/sheet";
import { say, word } from "../words";

/** Rows of a table that are shown at once. */
const ROWS = 50;
const paged = (count: number) => (count > ROWS ? { pageSize: ROWS, size: "small" as const, showSizeChanger: false } : false);

const COLOURS = { new: "green", changed: "blue", unchanged: "default" } as const;

function Effect({ effect }: { effect: PlannedLine["customer"] | null }): ReactNode {
  const { t } = useTranslation();
  return effect === null ? <span className="quiet">—</span> : <Tag color={COLOURS[effect]}>{t(`import.${effect}`)}</Tag>;
}

function Errors({ errors }: { errors: LineError[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <Alert type="error" showIcon className="notice" title={t("import.bad", { count: errors.length })} description={t("import.bad_what")} />
      <Table<LineError>
        size="small"
        rowKey={(one) => `${one.line}.${one.column}.${one.code}`}
        pagination={paged(errors.length)}
        dataSource={errors}
        columns={[
          { title: t("import.line"), width: 80, align: "right", render: (_, one) => (one.line === 0 ? t("import.whole") : one.line) },
          { title: t("import.column"), width: 160, render: (_, one) => one.heading || "—" },
          { title: t("import.value"), width: 220, ellipsis: true, render: (_, one) => one.value },
          { title: t("import.why"), render: (_, one) => say(one.said) },
        ]}
      />
    </>
  );
}

/** What the file comes to: so many of each, and the lines that do something. */
function Planned({ found, taken }: { found: Imported; taken: boolean }): ReactNode {
  const { t } = useTranslation();
  const tell = (what: string, counts: Imported["customers"]): string => t("import.counts", { what, fresh: counts.new, changed: counts.changed, unchanged: counts.unchanged });
  return (
    <>
      <Alert
        type={taken ? "success" : "info"}
        showIcon
        className="notice"
        title={t(taken ? "import.taken" : found.lines.length === 0 ? "import.idle" : "import.good")}
        description={
          <>
            {tell(word("export.list", "customers"), found.customers)}
            <br />
            {tell(word("export.list", "equipment"), found.equipment)}
          </>
        }
      />
      {found.lines.length > 0 && (
        <Table<PlannedLine>
          size="small"
          rowKey="line"
          pagination={paged(found.lines.length)}
          dataSource={found.lines}
          {...(found.more ? { footer: () => <span className="quiet">{t("import.more", { count: found.lines.length })}</span> } : {})}
          columns={[
            { title: t("import.line"), width: 80, align: "right", dataIndex: "line" },
            { title: word("import.column", "customer_code"), width: 120, dataIndex: "customer_code" },
            { title: word("import.column", "customer_name"), dataIndex: "customer_name" },
            { title: word("export.list", "customers"), width: 110, render: (_, one) => <Effect effect={one.customer} /> },
            { title: word("import.column", "serial"), width: 160, render: (_, one) => one.serial },
            { title: word("export.list", "equipment"), width: 110, render: (_, one) => <Effect effect={one.equipment} /> },
          ]}
        />
      )}
    </>
  );
}

interface Looked {
  file: File;
  found: Imported;
  taken: boolean;
}

/** Customers and their machines from a file: looked at first, taken then. */
export default function Import(): ReactNode {
  const { t, i18n } = useTranslation();
  // Looking changes nothing: what other pages have shown stays as it is.
  const looking = useAct(null);
  const taking = useAct("list");
  const busy = looking.busy || taking.busy;
  const [looked, setLooked] = useState<Looked>();
  const open = async (file: File): Promise<void> => {
    setLooked(undefined);
    const done = await looking.act(() => look(file));
    if (done) setLooked({ file, found: done.answered, taken: false });
  };
  const accept = async ({ file, found }: Looked): Promise<void> => {
    const done = await taking.act(() => take(file, found.sha256));
    if (done) setLooked({ file, found: done.answered, taken: true });
  };
  const template = (form: "xlsx" | "csv"): ReactNode => (
    <Button size="small" icon={<DownloadOutlined />} href={`/api/import/customers/template?form=${form}&lang=${i18n.language}`} download>
      {form.toUpperCase()}
    </Button>
  );
  return (
    <>
      <Head title={t("import.title")}>
        <span className="quiet">{t("import.about")}</span>
      </Head>
      <Sheet title={t("import.file")}>
        <p className="inline">
          {t("import.template")} {template("xlsx")} {template("csv")}
        </p>
        <Upload.Dragger
          accept=".csv,.xlsx"
          maxCount={1}
          showUploadList={false}
          disabled={busy}
          beforeUpload={(file) => {
            void open(file);
            return false;
          }}
        >
          <p>
            <CloudUploadOutlined style={{ fontSize: 28 }} />
          </p>
          <p>{t("import.drop")}</p>
          <p className="quiet">{t("import.limits")}</p>
        </Upload.Dragger>
      </Sheet>
      {looked && (
        <Sheet
          title={looked.file.name}
          actions={
            looked.taken ? (
              <Link to="/customers">{t("import.see")}</Link>
            ) : (
              looked.found.good &&
              looked.found.lines.length > 0 && (
                <Button type="primary" loading={busy} onClick={() => void accept(looked)}>
                  {t("import.take")}
                </Button>
              )
            )
          }
        >
          {looked.found.good ? <Planned found={looked.found} taken={looked.taken} /> : <Errors errors={looked.found.errors} />}
        </Sheet>
      )}
    </>
  );
}
