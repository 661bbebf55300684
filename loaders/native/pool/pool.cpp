// The thread pool and the C ABI around it. No thread of it ever takes Python's GIL.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "pool/sample.h"

// A batch on its way. Threads take samples by number until none is left.
struct EtTicket {
  std::function<void(int64_t, et::Scratch&, EtStats&)> work;
  int64_t count;
  std::atomic<int64_t> next{0};
  int64_t done = 0;  // under the pool's mutex
  EtPool* pool;
};

struct EtPool {
  std::mutex mutex;
  std::condition_variable work, finished;
  std::deque<EtTicket*> queue;  // tickets with samples not yet taken, oldest first
  EtStats stats{};
  bool stop = false;
  bool closed = false;  // threads are gone; the last ticket deletes the pool
  int tickets = 0;      // not yet freed
  std::vector<std::thread> threads;

  void run() {
    et::Scratch scratch;
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return stop || !queue.empty(); });
      if (stop) return;
      EtTicket* ticket = queue.front();
      const int64_t i = ticket->next++;
      if (i + 1 >= ticket->count) queue.pop_front();
      lock.unlock();
      EtStats mine{};
      ticket->work(i, scratch, mine);
      lock.lock();
      for (auto field : {&EtStats::read_ns, &EtStats::decode_ns, &EtStats::resample_ns, &EtStats::bytes_read,
                         &EtStats::bytes_decoded, &EtStats::samples, &EtStats::cut_ns})
        stats.*field += mine.*field;
      if (++ticket->done == ticket->count) finished.notify_all();
    }
  }

  EtTicket* submit(int64_t count, std::function<void(int64_t, et::Scratch&, EtStats&)> work_of) {
    auto* ticket = new EtTicket;
    ticket->work = std::move(work_of), ticket->count = count, ticket->pool = this;
    std::lock_guard<std::mutex> lock(mutex);
    tickets++;
    if (count > 0) queue.push_back(ticket);
    work.notify_all();
    return ticket;
  }
};

extern "C" {

EtPool* et_pool_new(int32_t threads) {
  auto pool = std::make_unique<EtPool>();
  try {
    for (int32_t i = 0; i < threads; i++) pool->threads.emplace_back([p = pool.get()] { p->run(); });
  } catch (...) {  // the system gives no more threads
    et_pool_free(pool.release());
    return nullptr;
  }
  return pool.release();
}

void et_pool_free(EtPool* pool) {
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->stop = true;
    pool->work.notify_all();
  }
  for (auto& thread : pool->threads) thread.join();
  // Garbage collection may free a pool before its tickets: the memory goes with the last of them.
  bool last;
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->closed = true;
    pool->finished.notify_all();
    last = pool->tickets == 0;
  }
  if (last) delete pool;
}

void et_pool_stats(EtPool* pool, EtStats* out) {
  std::lock_guard<std::mutex> lock(pool->mutex);
  *out = pool->stats;
}

EtTicket* et_submit(EtPool* pool, const EtBatch* batch) {
  return pool->submit(batch->count, [b = *batch](int64_t i, et::Scratch& scratch, EtStats& stats) {
    et::run_sample(b, i, scratch, stats);
  });
}

EtTicket* et_submit_cut(EtPool* pool, const EtCutBatch* batch) {
  return pool->submit(batch->count, [b = *batch](int64_t i, et::Scratch& scratch, EtStats& stats) {
    et::cut_sample(b, i, scratch, stats);
  });
}

int32_t et_ticket_wait(EtTicket* ticket, int32_t milliseconds) {
  std::unique_lock<std::mutex> lock(ticket->pool->mutex);
  const auto ready = [&] { return ticket->done == ticket->count || ticket->pool->closed; };
  if (!ticket->pool->finished.wait_for(lock, std::chrono::milliseconds(milliseconds), ready)) return 0;
  return ticket->done == ticket->count ? 1 : 2;
}

void et_ticket_free(EtTicket* ticket) {
  EtPool* pool = ticket->pool;
  bool last;
  {
    std::unique_lock<std::mutex> lock(pool->mutex);
    for (auto it = pool->queue.begin(); it != pool->queue.end(); ++it)
      if (*it == ticket) {
        ticket->count = ticket->next;  // nobody will take the rest
        pool->queue.erase(it);
        break;
      }
    pool->finished.wait(lock, [&] { return ticket->done == ticket->count; });
    last = --pool->tickets == 0 && pool->closed;
  }
  delete ticket;
  if (last) delete pool;
}

int32_t et_decode_one(const EtBatch* batch, int64_t i, EtStats* stats) {
  thread_local et::Scratch scratch;
  EtStats mine{};
  return et::run_sample(*batch, i, scratch, stats ? *stats : mine);
}

int32_t et_finish_one(const EtBatch* batch, int64_t i, const uint8_t* pixels, char* message) {
  thread_local et::Scratch scratch;
  return et::finish_sample(*batch, i, pixels, scratch, message);
}

void et_peek_files(EtPool* pool, const int64_t* paths, int64_t count, uint16_t* widths, uint16_t* heights, int32_t* status) {
  EtTicket* ticket = pool->submit(count, [=](int64_t i, et::Scratch& scratch, EtStats&) {
    status[i] = et::peek_file(reinterpret_cast<const char*>(paths[i]), scratch, widths[i], heights[i]);
  });
  while (!et_ticket_wait(ticket, 1000)) continue;
  et_ticket_free(ticket);
}

}  // extern "C"
