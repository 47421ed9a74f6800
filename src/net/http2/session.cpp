#include "net/http2/session.hpp"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <array>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/core/assert.hpp"

namespace baton::http2 {

namespace {

constexpr std::size_t kCompactAt = 64 << 10;   // sent bytes in front of a queue
constexpr std::size_t kSpareStreams = 64;      // kept for the next ones
constexpr std::size_t kSpareQueue = 16 << 10;  // larger queues are not kept
constexpr std::int32_t kFirstWindow = 65'535;  // RFC 9113 6.9.2

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

struct Session::Impl {
  Impl(const Limits& l, Events& e) : limits(l), events(e) {}

  Stream* stream(std::int32_t id) const {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(native, id));
  }
  Stream& add(std::int32_t id);
  void remove(Stream& stream);
  std::span<const nghttp2_nv> to_native(const http::Headers& fields);
  void resume(Stream& stream);
  nghttp2_data_provider provider(Stream& stream) const;

  const Limits limits;
  Events& events;
  nghttp2_session* native = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Stream>> spare;
  std::vector<nghttp2_nv> scratch;
  std::string* out = nullptr;  // of the pull that runs
  std::size_t most = 0;
  std::string complaint;  // the library's last
  bool draining = false;
};

Stream& Session::Impl::add(std::int32_t id) {
  std::unique_ptr<Stream> made;
  if (spare.empty()) {
    made = std::make_unique<Stream>();
  } else {
    made = std::move(spare.back());
    spare.pop_back();
  }
  made->id_ = id;
  Stream& stream = *made;
  streams.emplace(id, std::move(made));
  nghttp2_session_set_stream_user_data(native, id, &stream);
  return stream;
}

void Session::Impl::remove(Stream& stream) {
  auto found = streams.find(stream.id_);
  BATON_ASSERT(found != streams.end());
  std::unique_ptr<Stream> old = std::move(found->second);
  streams.erase(found);
  if (spare.size() >= kSpareStreams || old->out_.capacity() > kSpareQueue) return;
  std::string queue = std::move(old->out_);
  queue.clear();
  *old = Stream();
  old->out_ = std::move(queue);
  spare.push_back(std::move(old));
}

std::span<const nghttp2_nv> Session::Impl::to_native(const http::Headers& fields) {
  scratch.clear();
  for (const http::Field field : fields) {
    auto bytes = [](std::string_view s) {
      return reinterpret_cast<std::uint8_t*>(const_cast<char*>(s.data()));
    };
    scratch.push_back({bytes(field.name), bytes(field.value), field.name.size(), field.value.size(),
                       NGHTTP2_NV_FLAG_NONE});
  }
  return scratch;
}

void Session::Impl::resume(Stream& stream) {
  if (!stream.deferred_) return;
  stream.deferred_ = false;
  nghttp2_session_resume_data(native, stream.id_);
}

// The library's view of a session.
struct Callbacks {
  static Session::Impl& impl(void* user) { return *static_cast<Session::Impl*>(user); }

  static ssize_t send(nghttp2_session* /*native*/, const std::uint8_t* bytes, std::size_t size,
                      int /*flags*/, void* user) {
    Session::Impl& self = impl(user);
    if (self.out->size() >= self.most) return NGHTTP2_ERR_WOULDBLOCK;
    self.out->append(text(bytes, size));
    return static_cast<ssize_t>(size);
  }

  // How much of a stream's queue goes into the next DATA frame; send_data copies it.
  static ssize_t read(nghttp2_session* native, std::int32_t id, std::uint8_t* /*into*/,
                      std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                      void* user) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t queued = stream.queued();
    if (queued == 0 && stream.ending_ == Stream::Ending::kNone) {
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (queued <= size && stream.ending_ != Stream::Ending::kNone) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream.ending_ == Stream::Ending::kTrailers) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto fields = impl(user).to_native(stream.trailers_);
        nghttp2_submit_trailer(native, id, fields.data(), fields.size());
      }
    }
    return static_cast<ssize_t>(std::min(queued, size));
  }

  static int send_data(nghttp2_session* /*native*/, nghttp2_frame* /*frame*/,
                       const std::uint8_t* head, std::size_t size, nghttp2_data_source* source,
                       void* user) {
    Session::Impl& self = impl(user);
    if (self.out->size() >= self.most) return NGHTTP2_ERR_WOULDBLOCK;
    auto& stream = *static_cast<Stream*>(source->ptr);
    constexpr std::size_t kFrameHead = 9;  // RFC 9113 4.1
    self.out->append(text(head, kFrameHead));
    self.out->append(stream.out_, stream.out_at_, size);
    stream.out_at_ += size;
    if (stream.out_at_ == stream.out_.size()) {
      stream.out_.clear();
      stream.out_at_ = 0;
    } else if (stream.out_at_ >= kCompactAt && stream.out_at_ * 2 >= stream.out_.size()) {
      stream.out_.erase(0, stream.out_at_);
      stream.out_at_ = 0;
    }
    return 0;
  }

  static int begin_headers(nghttp2_session* /*native*/, const nghttp2_frame* frame, void* user) {
    Session::Impl& self = impl(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    Stream* stream = self.stream(frame->hd.stream_id);
    if (stream == nullptr && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      stream = &self.add(frame->hd.stream_id);
    }
    if (stream == nullptr) return 0;
    stream->fields_ = {};
    stream->field_bytes_ = 0;
    return 0;
  }

  static int header(nghttp2_session* /*native*/, const nghttp2_frame* frame,
                    const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                    std::size_t value_size, std::uint8_t /*flags*/, void* user) {
    Session::Impl& self = impl(user);
    Stream* stream = self.stream(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->field_bytes_ += name_size + value_size;
    if (stream->field_bytes_ > self.limits.header_bytes ||
        stream->fields_.size() >= self.limits.header_fields) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    }
    stream->fields_.add(text(name, name_size), text(value, value_size));
    return 0;
  }

  static int frame_received(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    Session::Impl& self = impl(user);
    const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        if (Stream* stream = self.stream(frame->hd.stream_id)) {
          stream->remote_ended_ = stream->remote_ended_ || ended;
          if (frame->hd.type == NGHTTP2_HEADERS) {
            self.events.on_headers(*stream, std::exchange(stream->fields_, {}),
                                   ended ? End::kYes : End::kNo);
          } else if (ended) {
            self.events.on_end(*stream);
          }
        }
        break;
      case NGHTTP2_PING:
        // Of drain(): whatever the client sent before it heard of the GOAWAY has arrived now.
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && self.draining) {
          self.draining = false;
          nghttp2_submit_goaway(native, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(native), NGHTTP2_NO_ERROR,
                                nullptr, 0);
        }
        break;
      case NGHTTP2_GOAWAY:
        self.events.on_goaway();
        break;
      default:
        break;
    }
    return 0;
  }

  static int data_received(nghttp2_session* native, std::uint8_t /*flags*/, std::int32_t id,
                           const std::uint8_t* bytes, std::size_t size, void* user) {
    Session::Impl& self = impl(user);
    Stream* stream = self.stream(id);
    if (stream == nullptr) {
      nghttp2_session_consume_connection(native, size);
      return 0;
    }
    stream->unconsumed_ += size;
    self.events.on_data(*stream, text(bytes, size));
    return 0;
  }

  static int frame_sent(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    Session::Impl& self = impl(user);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
                      (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA);
    if (!ends) return 0;
    Stream* stream = self.stream(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->local_ended_ = true;
    // RFC 9113 8.1: a server may ask the client not to go on with a request that is answered.
    if (!stream->remote_ended_ && nghttp2_session_check_server_session(native) != 0) {
      nghttp2_submit_rst_stream(native, NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int stream_closed(nghttp2_session* native, std::int32_t id, std::uint32_t reason,
                           void* user) {
    Session::Impl& self = impl(user);
    Stream* stream = self.stream(id);
    if (stream == nullptr) return 0;
    if (stream->unconsumed_ > 0) nghttp2_session_consume_connection(native, stream->unconsumed_);
    self.events.on_closed(*stream, static_cast<Reset>(reason));
    nghttp2_session_set_stream_user_data(native, id, nullptr);
    self.remove(*stream);
    return 0;
  }

  static int complain(nghttp2_session* /*native*/, int /*code*/, const char* message,
                      std::size_t size, void* user) {
    impl(user).complaint.assign(message, size);
    return 0;
  }
};

nghttp2_data_provider Session::Impl::provider(Stream& stream) const {
  nghttp2_data_provider made{};
  made.source.ptr = &stream;
  made.read_callback = Callbacks::read;
  return made;
}

Session::Session(Role role, const Limits& limits, Events& events)
    : impl_(std::make_unique<Impl>(limits, events)) {
  nghttp2_session_callbacks* raw_callbacks = nullptr;
  nghttp2_option* raw_options = nullptr;
  BATON_ASSERT(nghttp2_session_callbacks_new(&raw_callbacks) == 0);
  BATON_ASSERT(nghttp2_option_new(&raw_options) == 0);
  const std::unique_ptr<nghttp2_session_callbacks, Freed<nghttp2_session_callbacks_del>> callbacks(
      raw_callbacks);
  const std::unique_ptr<nghttp2_option, Freed<nghttp2_option_del>> options(raw_options);
  nghttp2_session_callbacks_set_send_callback(raw_callbacks, Callbacks::send);
  nghttp2_session_callbacks_set_send_data_callback(raw_callbacks, Callbacks::send_data);
  nghttp2_session_callbacks_set_on_begin_headers_callback(raw_callbacks, Callbacks::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(raw_callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(raw_callbacks, Callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw_callbacks,
                                                            Callbacks::data_received);
  nghttp2_session_callbacks_set_on_frame_send_callback(raw_callbacks, Callbacks::frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(raw_callbacks, Callbacks::stream_closed);
  nghttp2_session_callbacks_set_error_callback2(raw_callbacks, Callbacks::complain);
  nghttp2_option_set_no_auto_window_update(raw_options, 1);
  nghttp2_option_set_no_closed_streams(raw_options, 1);
  nghttp2_option_set_max_outbound_ack(raw_options, limits.unsent_acks);
  nghttp2_option_set_stream_reset_rate_limit(raw_options, limits.reset_burst,
                                             limits.resets_per_second);
  const auto make =
      role == Role::kServer ? nghttp2_session_server_new2 : nghttp2_session_client_new2;
  BATON_ASSERT(make(&impl_->native, raw_callbacks, impl_.get(), raw_options) == 0);
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.header_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
  if (role == Role::kServer) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(impl_->native, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  const auto window = static_cast<std::int32_t>(limits.connection_window);
  if (window > kFirstWindow) {
    nghttp2_session_set_local_window_size(impl_->native, NGHTTP2_FLAG_NONE, 0, window);
  }
}

Session::~Session() { nghttp2_session_del(impl_->native); }

Status Session::receive(std::string_view bytes) {
  const auto taken = nghttp2_session_mem_recv(
      impl_->native, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken >= 0) return {};
  std::string why = impl_->complaint.empty() ? nghttp2_strerror(static_cast<int>(taken))
                                             : std::exchange(impl_->complaint, {});
  nghttp2_session_terminate_session(impl_->native, NGHTTP2_PROTOCOL_ERROR);
  return invalid(fmt::format("HTTP/2: {}", why));
}

void Session::pull(std::string& out, std::size_t most) {
  impl_->out = &out;
  impl_->most = most;
  nghttp2_session_send(impl_->native);
  impl_->out = nullptr;
}

bool Session::done() const {
  return nghttp2_session_want_read(impl_->native) == 0 &&
         nghttp2_session_want_write(impl_->native) == 0;
}

Stream* Session::request(const http::Headers& fields) {
  Impl& self = *impl_;
  if (nghttp2_session_check_request_allowed(self.native) == 0) return nullptr;
  const auto native_fields = self.to_native(fields);
  auto made = std::make_unique<Stream>();
  const nghttp2_data_provider provider = self.provider(*made);
  const std::int32_t id = nghttp2_submit_request(self.native, nullptr, native_fields.data(),
                                                 native_fields.size(), &provider, made.get());
  if (id < 0) return nullptr;
  made->id_ = id;
  return self.streams.emplace(id, std::move(made)).first->second.get();
}

void Session::respond(Stream& stream, const http::Headers& fields) {
  const auto native_fields = impl_->to_native(fields);
  const nghttp2_data_provider provider = impl_->provider(stream);
  nghttp2_submit_response(impl_->native, stream.id_, native_fields.data(), native_fields.size(),
                          &provider);
}

void Session::respond_and_end(Stream& stream, const http::Headers& fields) {
  const auto native_fields = impl_->to_native(fields);
  nghttp2_submit_response(impl_->native, stream.id_, native_fields.data(), native_fields.size(),
                          nullptr);
}

void Session::send(Stream& stream, std::span<const std::string_view> pieces) {
  BATON_ASSERT(stream.ending_ == Stream::Ending::kNone);
  for (const std::string_view piece : pieces) stream.out_ += piece;
  impl_->resume(stream);
}

void Session::finish(Stream& stream) {
  BATON_ASSERT(stream.ending_ == Stream::Ending::kNone);
  stream.ending_ = Stream::Ending::kPlain;
  impl_->resume(stream);
}

void Session::finish(Stream& stream, http::Headers trailers) {
  BATON_ASSERT(stream.ending_ == Stream::Ending::kNone);
  stream.trailers_ = std::move(trailers);
  stream.ending_ = Stream::Ending::kTrailers;
  impl_->resume(stream);
}

void Session::reset(Stream& stream, Reset reason) {
  nghttp2_submit_rst_stream(impl_->native, NGHTTP2_FLAG_NONE, stream.id_,
                            static_cast<std::uint32_t>(reason));
}

void Session::consumed(Stream& stream, std::size_t bytes) {
  BATON_ASSERT(bytes <= stream.unconsumed_);
  stream.unconsumed_ -= bytes;
  nghttp2_session_consume(impl_->native, stream.id_, bytes);
}

void Session::drain() {
  if (impl_->draining) return;
  impl_->draining = true;
  nghttp2_submit_shutdown_notice(impl_->native);
  nghttp2_submit_ping(impl_->native, NGHTTP2_FLAG_NONE, nullptr);
}

void Session::terminate(Reset reason) {
  nghttp2_session_terminate_session(impl_->native, static_cast<std::uint32_t>(reason));
}

std::size_t Session::open_streams() const { return impl_->streams.size(); }

}  // namespace baton::http2
