import java.time.Instant;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * livepair's webhook messages, version 1. Within it a message may gain fields, codes and regions, so take
 * what you do not know. The lists of types, outcomes, categories and advice stay as they are.
 *
 * Made from events/message.schema.json by `make docs`: change that, not this.
 */
public final class Livepair {
  private Livepair() {}

  /**
   * A message. Read the verified body as a map, with any JSON library, and the map with {@link #of}; tell the
   * data apart with instanceof, or with a switch from Java 21 on.
   */
  public record Message(String id, String type, Instant timestamp, long version, Data data) {
    public static Message of(Map<?, ?> json) {
      Map<?, ?> data = (Map<?, ?>) given(json, "data");
      String type = text(json, "type");
      return new Message(
          text(json, "id"),
          text(json, "type"),
          Instant.parse(text(json, "timestamp")),
          ((Number) given(json, "version")).longValue(),
          switch (type) {
            case "verification.matched" -> Matched.of(data);
            case "verification.mismatched" -> Mismatched.of(data);
            case "verification.rejected" -> Rejected.of(data);
            case "verification.incomplete" -> Incomplete.of(data);
            case "verification.failed" -> Failed.of(data);
            case "webhook.test" -> Test.of(data);
            default -> new Unknown(data);
          });
    }
  }

  /** What a message tells: one of the records below. */
  public sealed interface Data permits Verification, Test, Unknown {}

  /** The data of a type that came after this file: answer 2xx, and leave it. */
  public record Unknown(Map<?, ?> json) implements Data {}

  /** A pair with particular bytes and a run number, and what came of it. */
  public sealed interface Verification extends Data permits Matched, Mismatched, Rejected, Incomplete, Failed {
    /**
     * The verification's id: the same bytes under the same keys in the same run have the same one. Opaque;
     * it holds no `.` and no personal data.
     */
    String verificationId();

    /**
     * Which run over the same bytes this is, from 1. Further ones come only after `failed` or `incomplete`.
     */
    long run();

    /**
     * matched: a live person, and the one in the image. mismatched: judged, but not the same person.
     * rejected: the recording or the image does not do. incomplete: the other half did not come in time.
     * failed: no verdict could be had.
     */
    Outcome outcome();

    /**
     * The values of the placeholders in LIVE_KEY, by name, as in the object keys: the application's own
     * reference. They are chosen outside livepair: escape them where you show them.
     */
    Map<String, String> pair();

    /** MIN_SIMILARITY when this was decided, 0 to 100: at or above it the two faces are the same person. */
    double minSimilarity();
  }

  public enum Outcome {
    MATCHED,
    MISMATCHED,
    REJECTED,
    INCOMPLETE,
    FAILED
  }

  public enum Category {
    SIMILARITY,
    SPOOF,
    LIVENESS,
    CAPTURE,
    IMAGE,
    MISSING,
    SERVICE,
    CONFIGURATION
  }

  public enum Advice {
    RETAKE_LIVE,
    REPLACE_IMAGE,
    UPLOAD_MISSING,
    REVIEW,
    RETRY_LATER,
    FIX_CONFIGURATION,
    NONE
  }

  /** Why it is not matched. */
  public record Reason(
      /**
       * The API's own code as it came, or one of livepair's, which begin with `Livepair.`. Open: the API
       * adds codes. Decide by category and advice.
       */
      String code,
      /**
       * What kind of reason it is. similarity: not the same person. spoof: said to be a fake. liveness: not
       * shown to be live. capture: light, framing or faces in the video. image: the photo. missing: the
       * other half. service: the API or the way to it. configuration: settings or permissions of the
       * function.
       */
      Category category,
      /** For operators, not for the person who was recorded. Open: its words may change. */
      String message,
      /**
       * What to do. retake_live: record again. replace_image: use another photo. upload_missing: upload the
       * other half. review: let a human look. retry_later: try again later. fix_configuration: the
       * function's operator must act. none: nothing.
       */
      Advice advice) {
    static Reason of(Map<?, ?> json) {
      if (json == null) return null;
      return new Reason(
          text(json, "code"),
          one(Category.class, json, "category"),
          text(json, "message"),
          one(Advice.class, json, "advice"));
    }
  }

  /** One upload of the pair. */
  public record Upload(
      /** The bucket's full name, name-appid. */
      String bucket,
      /** The object's key, not percent-encoded. It is chosen outside livepair: escape it where you show it. */
      String key,
      /**
       * MD5 of the bytes, 32 lower-case hex digits; null only where the upload was never read through: too
       * large, or archived.
       */
      String md5,
      /** Size in bytes. */
      long size,
      /** The object's Last-Modified. */
      Instant uploadedAt,
      /**
       * What the uploader sent as x-cos-meta-*, by the names that PASS_METADATA lists; there only if it
       * lists any. A name that the upload lacks is left out, and so is a value of more than 256 bytes in
       * UTF-8. The words are chosen outside livepair: escape them where you show them.
       */
      Map<String, String> metadata) {
    static Upload of(Map<?, ?> json) {
      if (json == null) return null;
      return new Upload(
          text(json, "bucket"),
          text(json, "key"),
          json.get("md5") == null ? null : text(json, "md5"),
          ((Number) given(json, "size")).longValue(),
          Instant.parse(text(json, "uploaded_at")),
          json.get("metadata") == null ? null : texts(json, "metadata"));
    }
  }

  /** The stored best frame. */
  public record BestFrame(
      /** The state bucket's full name, name-appid. */
      String bucket,
      /** The JPEG's key there. */
      String key,
      /** MD5 of the JPEG, 32 lower-case hex digits, checked when it was stored. */
      String md5) {
    static BestFrame of(Map<?, ?> json) {
      if (json == null) return null;
      return new BestFrame(
          text(json, "bucket"),
          text(json, "key"),
          text(json, "md5"));
    }
  }

  /** The call behind a verification. */
  public record Api(
      /** RequestId of the last answer, for Tencent's support; null where the last answer brought none. */
      String requestId,
      /** Where the API was called. Open: Tencent may add regions. */
      String region,
      /**
       * The code of the last answer: `Success`, another of the API's, or one of livepair's where there was
       * no answer. Open, like reason.code; it differs from that where livepair had the last word.
       */
      String code,
      /** How many calls the API may have executed for this verification. */
      long calls) {
    static Api of(Map<?, ?> json) {
      if (json == null) return null;
      return new Api(
          json.get("request_id") == null ? null : text(json, "request_id"),
          text(json, "region"),
          text(json, "code"),
          ((Number) given(json, "calls")).longValue());
    }
  }

  /** One upload of the pair. */
  public record JudgedUpload(
      /** The bucket's full name, name-appid. */
      String bucket,
      /** The object's key, not percent-encoded. It is chosen outside livepair: escape it where you show it. */
      String key,
      /**
       * MD5 of the bytes, 32 lower-case hex digits; null only where the upload was never read through: too
       * large, or archived.
       */
      String md5,
      /** Size in bytes. */
      long size,
      /** The object's Last-Modified. */
      Instant uploadedAt,
      /**
       * What the uploader sent as x-cos-meta-*, by the names that PASS_METADATA lists; there only if it
       * lists any. A name that the upload lacks is left out, and so is a value of more than 256 bytes in
       * UTF-8. The words are chosen outside livepair: escape them where you show them.
       */
      Map<String, String> metadata) {
    static JudgedUpload of(Map<?, ?> json) {
      if (json == null) return null;
      return new JudgedUpload(
          text(json, "bucket"),
          text(json, "key"),
          text(json, "md5"),
          ((Number) given(json, "size")).longValue(),
          Instant.parse(text(json, "uploaded_at")),
          json.get("metadata") == null ? null : texts(json, "metadata"));
    }
  }

  /** The data of verification.matched. */
  public record Matched(
      String verificationId,
      long run,
      Outcome outcome,
      Map<String, String> pair,
      double similarity,
      double minSimilarity,
      JudgedUpload live,
      JudgedUpload image,
      BestFrame bestFrame,
      Api api)
      implements Verification {
    static Matched of(Map<?, ?> json) {
      if (json == null) return null;
      return new Matched(
          text(json, "verification_id"),
          ((Number) given(json, "run")).longValue(),
          one(Outcome.class, json, "outcome"),
          texts(json, "pair"),
          ((Number) given(json, "similarity")).doubleValue(),
          ((Number) given(json, "min_similarity")).doubleValue(),
          JudgedUpload.of((Map<?, ?>) given(json, "live")),
          JudgedUpload.of((Map<?, ?>) given(json, "image")),
          BestFrame.of(object(json, "best_frame")),
          Api.of((Map<?, ?>) given(json, "api")));
    }
  }

  /** The data of verification.mismatched. */
  public record Mismatched(
      String verificationId,
      long run,
      Outcome outcome,
      Map<String, String> pair,
      Double similarity,
      double minSimilarity,
      Reason reason,
      JudgedUpload live,
      JudgedUpload image,
      BestFrame bestFrame,
      Api api)
      implements Verification {
    static Mismatched of(Map<?, ?> json) {
      if (json == null) return null;
      return new Mismatched(
          text(json, "verification_id"),
          ((Number) given(json, "run")).longValue(),
          one(Outcome.class, json, "outcome"),
          texts(json, "pair"),
          json.get("similarity") == null ? null : ((Number) given(json, "similarity")).doubleValue(),
          ((Number) given(json, "min_similarity")).doubleValue(),
          Reason.of((Map<?, ?>) given(json, "reason")),
          JudgedUpload.of((Map<?, ?>) given(json, "live")),
          JudgedUpload.of((Map<?, ?>) given(json, "image")),
          BestFrame.of(object(json, "best_frame")),
          Api.of((Map<?, ?>) given(json, "api")));
    }
  }

  /** The data of verification.rejected. */
  public record Rejected(
      String verificationId,
      long run,
      Outcome outcome,
      Map<String, String> pair,
      double minSimilarity,
      Reason reason,
      Upload live,
      Upload image,
      Api api)
      implements Verification {
    static Rejected of(Map<?, ?> json) {
      if (json == null) return null;
      return new Rejected(
          text(json, "verification_id"),
          ((Number) given(json, "run")).longValue(),
          one(Outcome.class, json, "outcome"),
          texts(json, "pair"),
          ((Number) given(json, "min_similarity")).doubleValue(),
          Reason.of((Map<?, ?>) given(json, "reason")),
          Upload.of((Map<?, ?>) given(json, "live")),
          Upload.of((Map<?, ?>) given(json, "image")),
          Api.of(object(json, "api")));
    }
  }

  /** The data of verification.incomplete. */
  public record Incomplete(
      String verificationId,
      long run,
      Outcome outcome,
      Map<String, String> pair,
      double minSimilarity,
      Reason reason,
      Upload live,
      Upload image)
      implements Verification {
    static Incomplete of(Map<?, ?> json) {
      if (json == null) return null;
      return new Incomplete(
          text(json, "verification_id"),
          ((Number) given(json, "run")).longValue(),
          one(Outcome.class, json, "outcome"),
          texts(json, "pair"),
          ((Number) given(json, "min_similarity")).doubleValue(),
          Reason.of((Map<?, ?>) given(json, "reason")),
          Upload.of(object(json, "live")),
          Upload.of(object(json, "image")));
    }
  }

  /** The data of verification.failed. */
  public record Failed(
      String verificationId,
      long run,
      Outcome outcome,
      Map<String, String> pair,
      double minSimilarity,
      Reason reason,
      Upload live,
      Upload image,
      Api api)
      implements Verification {
    static Failed of(Map<?, ?> json) {
      if (json == null) return null;
      return new Failed(
          text(json, "verification_id"),
          ((Number) given(json, "run")).longValue(),
          one(Outcome.class, json, "outcome"),
          texts(json, "pair"),
          ((Number) given(json, "min_similarity")).doubleValue(),
          Reason.of((Map<?, ?>) given(json, "reason")),
          Upload.of(object(json, "live")),
          Upload.of(object(json, "image")),
          Api.of(object(json, "api")));
    }
  }

  /** The data of webhook.test. */
  public record Test(
      /** For whoever reads it. Open: its words may change. */
      String note)
      implements Data {
    static Test of(Map<?, ?> json) {
      if (json == null) return null;
      return new Test(
          text(json, "note"));
    }
  }

  private static Object given(Map<?, ?> json, String name) {
    Object value = json.get(name);
    if (value == null) throw new IllegalArgumentException("expected " + name + ", found nothing");
    return value;
  }

  private static Map<?, ?> object(Map<?, ?> json, String name) {
    return (Map<?, ?>) json.get(name);
  }

  private static String text(Map<?, ?> json, String name) {
    return (String) given(json, name);
  }

  private static Map<String, String> texts(Map<?, ?> json, String name) {
    Map<String, String> found = new HashMap<>();
    object(json, name).forEach((key, value) -> found.put((String) key, (String) value));
    return found;
  }

  private static <T extends Enum<T>> T one(Class<T> list, Map<?, ?> json, String name) {
    return Enum.valueOf(list, text(json, name).toUpperCase(Locale.ROOT));
  }
}
