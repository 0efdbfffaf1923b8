import { FileImageOutlined } from "@ant-design/icons";
import { Image } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { PhotoShown, VisitDetail } from "../../api/files";
import { usePeople } from "../../api/queries";
import { bytes, stamp } from "../../format";
import { word } from "../../words";

/** A photo's small picture; what it is where its bytes are not here yet or are no picture. */
function Thumb({ photo, visit }: { photo: PhotoShown; visit: string }): ReactNode {
  const { t } = useTranslation();
  const [broken, setBroken] = useState(false);
  if (!photo.arrived || photo.blob === null || broken) {
    return (
      <span className="thumb-none">
        <FileImageOutlined aria-hidden />
        {t(photo.arrived ? "visit.photo_unshown" : "visit.photo_waits")}
        <small>{bytes(photo.size)}</small>
      </span>
    );
  }
  return (
    <Image
      src={`/api/blobs/${photo.blob}/thumb?doc=${visit}`}
      alt={photo.caption || t("visit.photo")}
      width="100%"
      height={120}
      loading="lazy"
      onError={() => setBroken(true)}
      preview={{ src: `/api/blobs/${photo.blob}?doc=${visit}` }}
    />
  );
}

/** The visit's photos: small here, large in a viewer that goes from one to the next. */
export function Photos({ detail }: { detail: VisitDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  if (detail.photos.length === 0) return <p className="quiet">{t("visit.no_photos")}</p>;
  return (
    <Image.PreviewGroup>
      <ul className="photos">
        {detail.photos.map((photo) => (
          <li key={photo.id}>
            <Thumb photo={photo} visit={detail.row.doc.id} />
            <div className="clip" title={photo.caption}>
              {photo.check !== null && <b>{word("check", photo.check)} </b>}
              {photo.caption}
            </div>
            <div className="quiet clip">
              {people.name(photo.by)} {photo.taken && stamp(photo.taken)}
            </div>
          </li>
        ))}
      </ul>
    </Image.PreviewGroup>
  );
}
