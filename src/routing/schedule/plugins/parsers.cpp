// Request parsers by name; what they do is the server's (picker reference 7).

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

Plugin made(Parser parser) {
  Plugin plugin;
  plugin.service = parser;
  return plugin;
}

}  // namespace

Plugin make_openai_parser(Fields&) { return made(Parser::kOpenai); }
Plugin make_anthropic_parser(Fields&) { return made(Parser::kAnthropic); }
Plugin make_vllmhttp_parser(Fields&) { return made(Parser::kVllmHttp); }
Plugin make_sglanghttp_parser(Fields&) { return made(Parser::kSglangHttp); }
Plugin make_vllmgrpc_parser(Fields&) { return made(Parser::kVllmGrpc); }
Plugin make_vertexai_parser(Fields&) { return made(Parser::kVertexAi); }
Plugin make_passthrough_parser(Fields&) { return made(Parser::kPassthrough); }

}  // namespace baton::schedule
