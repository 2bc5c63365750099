!> Passes over chosen structures that move the weights after every structure or mini-batch.
!>
!> Each pass is one loop of evaluations and steps.  When the user interrupts, weights and state are those
!> in the middle of the pass: the caller keeps a copy.
module tf_passes
   use tf_kinds, only : wp
   use tf_network, only : network_type
   use tf_objective, only : pack_type
   use tf_jacobian, only : panel_type, forward_chosen, backward_chosen, batch_gradient
   use tf_steepest_descent, only : descent_step
   use tf_kalman, only : kalman_step
   use tf_adam, only : adam_step
   use tf_stop, only : stop_type, must_stop
   implicit none
   private
   public :: descent_pass, kalman_pass, adam_pass

   !> Steps between two looks for Ctrl-C
   integer, parameter :: steps_between = 16

contains

   !> Steepest descent with momentum, structure by structure
   subroutine descent_pass(pack, features, networks, chosen, energy_ref, factor, structure_weight, momentum, &
         rate, weights, velocity)
      type(pack_type), intent(in) :: pack
      real(wp), intent(in) :: features(pack%n_features)
      type(network_type), intent(in) :: networks(:)
      !> Structure numbers, from 1, in the order of the steps
      integer, intent(in) :: chosen(:)
      !> (n_structures of the pack) as in tf_objective
      real(wp), intent(in) :: energy_ref(:), factor(:), structure_weight(:)
      real(wp), intent(in) :: momentum, rate
      real(wp), intent(inout), contiguous :: weights(:)
      !> (n_weights)
      real(wp), intent(inout) :: velocity(:)
      real(wp), allocatable :: gradient(:)
      type(panel_type) :: panel
      type(stop_type) :: stop
      real(wp) :: energy(1)
      integer :: i
      allocate (gradient(size(weights)))
      do i = 1, size(chosen)
         associate (s => chosen(i))
            call forward_chosen(pack, features, networks, weights, chosen(i:i), panel, energy)
            gradient = 0.0_wp
            call backward_chosen(pack, networks, weights, chosen(i:i), &
               -structure_weight(s)*factor(s)**2*(energy_ref(s:s) - energy), panel, gradient)
         end associate
         call descent_step(momentum, rate, gradient, weights, velocity)
         if (mod(i, steps_between) == 0) then
            if (must_stop(stop, .true.)) return
         end if
      end do
   end subroutine descent_pass

   !> Extended Kalman filter, structure by structure: the observed quantity is √weight·factor·E
   subroutine kalman_pass(pack, features, networks, chosen, energy_ref, factor, structure_weight, width, &
         forgetting_rate, noise, n_threads, weights, covariance, forgetting)
      type(pack_type), intent(in) :: pack
      real(wp), intent(in) :: features(pack%n_features)
      type(network_type), intent(in) :: networks(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: energy_ref(:), factor(:), structure_weight(:)
      !> Weights per block of the covariance
      integer, intent(in) :: width
      !> After each structure λ ← rate·(λ − 1) + 1
      real(wp), intent(in) :: forgetting_rate
      real(wp), intent(in) :: noise
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: covariance(:)
      !> λ
      real(wp), intent(inout) :: forgetting
      real(wp), allocatable :: derivative(:)
      type(panel_type) :: panel
      type(stop_type) :: stop
      real(wp) :: energy(1), scale(1)
      integer :: i
      allocate (derivative(size(weights)))
      do i = 1, size(chosen)
         associate (s => chosen(i))
            scale = sqrt(structure_weight(s))*factor(s)
            call forward_chosen(pack, features, networks, weights, chosen(i:i), panel, energy)
            derivative = 0.0_wp
            call backward_chosen(pack, networks, weights, chosen(i:i), scale, panel, derivative)
            call kalman_step(size(weights), width, forgetting, noise, derivative, &
               scale(1)*(energy_ref(s) - energy(1)), n_threads, weights, covariance)
         end associate
         forgetting = forgetting_rate*(forgetting - 1.0_wp) + 1.0_wp
         if (mod(i, steps_between) == 0) then
            if (must_stop(stop, .true.)) return
         end if
      end do
   end subroutine kalman_pass

   !> Adam, mini-batch by mini-batch: `batch_size` structures each, in the order of `chosen`; the last may have fewer
   subroutine adam_pass(pack, features, networks, chosen, energy_ref, factor, structure_weight, batch_size, mu, b1, &
         b2, eps, n_threads, weights, mean, mean_square, n_steps)
      type(pack_type), intent(in) :: pack
      real(wp), intent(in) :: features(pack%n_features)
      type(network_type), intent(in) :: networks(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: energy_ref(:), factor(:), structure_weight(:)
      integer, intent(in) :: batch_size
      !> See tf_adam
      real(wp), intent(in) :: mu, b1, b2, eps
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous :: weights(:)
      !> (n_weights)
      real(wp), intent(inout) :: mean(:), mean_square(:)
      !> Steps taken so far
      integer, intent(inout) :: n_steps
      real(wp), allocatable :: gradient(:)
      type(stop_type) :: stop
      integer :: first, last
      allocate (gradient(size(weights)))
      do first = 1, size(chosen), batch_size
         last = min(first + batch_size - 1, size(chosen))
         call batch_gradient(pack, features, networks, weights, chosen(first:last), energy_ref, factor, &
            structure_weight, n_threads, gradient)
         n_steps = n_steps + 1
         call adam_step(mu, b1, b2, eps, n_steps, gradient, weights, mean, mean_square)
         if (mod(n_steps, steps_between) == 0 .or. last - first > steps_between) then
            if (must_stop(stop, .true.)) return
         end if
      end do
   end subroutine adam_pass

end module tf_passes
