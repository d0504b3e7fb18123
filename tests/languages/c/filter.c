// Sends each tenant to an upstream of its own, and watches what is asked of it, line by line.
//
// The client's first line is "tenant NAME". A line that contains FORBIDDEN ends the connection before the server has the
// whole word; after the line "done" nothing more is looked at.
//
// Memory: what the host passes is ours to free, and what we return is freed by the bindings when the host has taken it.
// So everything that is returned lies on the heap.

#include <stdlib.h>
#include <string.h>

#include "tenants.h"

typedef exports_spliceway_filter_router_decision_t decision_t;
typedef exports_spliceway_filter_inspector_verdict_t verdict_t;
typedef spliceway_filter_types_attribute_t attribute_t;
typedef spliceway_filter_types_refusal_t refusal_t;
typedef spliceway_filter_types_value_t value_t;

static const char TENANT[] = "tenant ";
static const size_t TENANT_LENGTH = sizeof TENANT - 1;

static uint32_t refused;

static tenants_string_t borrowed(const char *text) {
  tenants_string_t string;
  tenants_string_set(&string, text);
  return string;
}

static tenants_string_t owned(const char *text) {
  tenants_string_t string;
  tenants_string_dup(&string, text);
  return string;
}

static bool contains(const uint8_t *line, size_t length, const char *word) {
  size_t word_length = strlen(word);
  for (size_t at = 0; at + word_length <= length; at++) {
    if (memcmp(line + at, word, word_length) == 0) return true;
  }
  return false;
}

static bool is(const uint8_t *line, size_t length, const char *word) {
  return length == strlen(word) && memcmp(line, word, length) == 0;
}

static refusal_t refusal(const char *reason, const char *reply) {
  spliceway_filter_metrics_add(refused, 1);
  tenants_string_t text = owned(reply);
  return (refusal_t){
      .ending = SPLICEWAY_FILTER_TYPES_ENDING_GRACEFUL,
      .reason = owned(reason),
      .reply = {.ptr = text.ptr, .len = text.len},
  };
}

// ---- lifecycle ----

// There is nothing to configure.
void exports_spliceway_filter_lifecycle_config_schema(tenants_string_t *schema) {
  *schema = owned("");
}

// False, and the error, where it fails.
bool exports_spliceway_filter_lifecycle_init(tenants_string_t *config, tenants_string_t *error) {
  bool configured = !is(config->ptr, config->len, "null");
  tenants_string_free(config);
  if (configured) {
    *error = owned("it takes no configuration");
    return false;
  }
  tenants_string_t name = borrowed("tenants_refused_total");
  tenants_string_t help = borrowed("Connections refused.");
  return spliceway_filter_metrics_define(&name, SPLICEWAY_FILTER_METRICS_KIND_COUNTER, &help, &refused, error);
}

// ---- router ----

static bool is_name(const uint8_t *name, size_t length) {
  for (size_t at = 0; at < length; at++) {
    if (name[at] < 'a' || name[at] > 'z') return false;
  }
  return length > 0;
}

static decision_t to_upstream(const uint8_t *name, size_t length) {
  decision_t decision = {.tag = EXPORTS_SPLICEWAY_FILTER_ROUTER_DECISION_ROUTE};
  exports_spliceway_filter_router_choice_t *choice = &decision.val.route;
  tenants_string_dup_n(&choice->upstream, (const char *)name, length);
  choice->options.len = 1;
  choice->options.ptr = malloc(sizeof *choice->options.ptr);
  choice->options.ptr[0] = (attribute_t){
      .key = owned("idle-timeout-ms"),
      .value = {.tag = SPLICEWAY_FILTER_TYPES_VALUE_INTEGER, .val.integer = 60000},
  };
  return decision;
}

static decision_t decide(const exports_spliceway_filter_router_window_t *seen) {
  const uint8_t *bytes = seen->bytes.ptr;
  size_t length = seen->bytes.len;
  bool last = seen->finished || seen->timed_out || seen->full;

  size_t begins = length < TENANT_LENGTH ? length : TENANT_LENGTH;
  const uint8_t *end = length > 0 ? memchr(bytes, '\n', length) : NULL;
  if (memcmp(bytes, TENANT, begins) != 0 || (end == NULL && last)) {
    return (decision_t){.tag = EXPORTS_SPLICEWAY_FILTER_ROUTER_DECISION_PASS};
  }
  if (end == NULL) {
    return (decision_t){.tag = EXPORTS_SPLICEWAY_FILTER_ROUTER_DECISION_NEED, .val.need = 1};
  }
  const uint8_t *name = bytes + TENANT_LENGTH;
  if (!is_name(name, end - name)) {
    return (decision_t){
        .tag = EXPORTS_SPLICEWAY_FILTER_ROUTER_DECISION_REFUSE,
        .val.refuse = refusal("no such tenant", "error: no such tenant\n"),
    };
  }
  return to_upstream(name, end - name);
}

void exports_spliceway_filter_router_route(exports_spliceway_filter_router_window_t *seen, decision_t *decision) {
  *decision = decide(seen);
  exports_spliceway_filter_router_window_free(seen);
}

// ---- inspector ----

struct exports_spliceway_filter_inspector_session_t {
  int64_t lines;
  // The beginning of a line whose end has not come; forwarded already.
  uint8_t *begun;
  size_t begun_length;
};

typedef exports_spliceway_filter_inspector_session_t session_t;

exports_spliceway_filter_inspector_own_session_t exports_spliceway_filter_inspector_constructor_session(void) {
  return exports_spliceway_filter_inspector_session_new(calloc(1, sizeof(session_t)));
}

void exports_spliceway_filter_inspector_session_destructor(session_t *session) {
  free(session->begun);
  free(session);
}

exports_spliceway_filter_inspector_directions_t exports_spliceway_filter_inspector_method_session_interest(
    session_t *session) {
  return SPLICEWAY_FILTER_TYPES_DIRECTIONS_UP;
}

static attribute_t lines_of(const session_t *session) {
  return (attribute_t){
      .key = borrowed("lines"),
      .value = {.tag = SPLICEWAY_FILTER_TYPES_VALUE_INTEGER, .val.integer = session->lines},
  };
}

static void count(session_t *session, int64_t lines) {
  session->lines += lines;
  attribute_t counted = lines_of(session);
  spliceway_filter_connection_annotate(&counted.key, &counted.value);
}

static void tell(const session_t *session) {
  attribute_t fields[2] = {lines_of(session)};
  spliceway_filter_log_list_attribute_t list = {.ptr = fields, .len = 1};
  // None on a unix socket.
  spliceway_filter_types_endpoint_t client;
  if (spliceway_filter_connection_client(&client)) {
    value_t from = {.tag = SPLICEWAY_FILTER_TYPES_VALUE_ADDRESS, .val.address = client};
    fields[list.len++] = (attribute_t){.key = borrowed("from"), .value = from};
  }
  tenants_string_t message = borrowed("the client has said what it wants");
  spliceway_filter_log_emit(SPLICEWAY_FILTER_LOG_LEVEL_INFO, &message, &list);
}

static verdict_t refuse(void) {
  return (verdict_t){
      .tag = EXPORTS_SPLICEWAY_FILTER_INSPECTOR_VERDICT_REFUSE,
      .val.refuse = refusal("a forbidden line", "error: a forbidden line\n"),
  };
}

static verdict_t watch(session_t *session, const uint8_t *text, size_t length, bool finished) {
  const uint8_t *behind = text + length, *begin = text, *end;
  int64_t lines = 0;
  while ((end = memchr(begin, '\n', behind - begin)) != NULL) {
    if (contains(begin, end - begin, "FORBIDDEN")) return refuse();
    lines++;
    if (is(begin, end - begin, "done")) {
      count(session, lines);
      tell(session);
      return (verdict_t){.tag = EXPORTS_SPLICEWAY_FILTER_INSPECTOR_VERDICT_DETACH};
    }
    begin = end + 1;
  }
  if (contains(begin, behind - begin, "FORBIDDEN")) return refuse();
  // What is held is shown again, from its beginning. Behind a whole line there is no holding the rest alone.
  if (lines == 0 && !finished) {
    return (verdict_t){.tag = EXPORTS_SPLICEWAY_FILTER_INSPECTOR_VERDICT_HOLD, .val.hold = 1};
  }
  session->begun_length = behind - begin;
  session->begun = realloc(session->begun, session->begun_length + 1);
  memcpy(session->begun, begin, session->begun_length);
  count(session, lines);
  if (finished) tell(session);
  return (verdict_t){.tag = EXPORTS_SPLICEWAY_FILTER_INSPECTOR_VERDICT_FORWARD};
}

void exports_spliceway_filter_inspector_method_session_on_bytes(
    session_t *session, exports_spliceway_filter_inspector_direction_t direction, tenants_list_u8_t *bytes,
    bool finished, verdict_t *verdict) {
  size_t length = session->begun_length + bytes->len;
  uint8_t *text = malloc(length + 1);
  if (session->begun_length > 0) memcpy(text, session->begun, session->begun_length);
  if (bytes->len > 0) memcpy(text + session->begun_length, bytes->ptr, bytes->len);
  *verdict = watch(session, text, length, finished);
  free(text);
  tenants_list_u8_free(bytes);
}
